"""Measurements: run as modules, as in `python -m benchmarks.matcher`."""
