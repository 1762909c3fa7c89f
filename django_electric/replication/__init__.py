"""The worker: the only writer of shape logs."""
