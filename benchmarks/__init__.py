"""Scripts that only measure. Run one from the root of the repository: ``python -m benchmarks.cost``."""
