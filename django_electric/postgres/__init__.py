"""What Postgres says: positions, transaction ids, relations and the replication stream (no I/O)."""
