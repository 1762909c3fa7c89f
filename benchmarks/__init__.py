"""What django_electric can do, each figure beside its floor from the same run: ``python -m benchmarks``."""
