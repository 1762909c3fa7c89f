"""What the client says: the HTTP shape protocol (no I/O, no clock, no chance)."""
