"""What several tests share: a running server, a client of its own, random data."""
