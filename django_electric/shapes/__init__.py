"""What a shape is, and which changes belong in it (no I/O)."""
