"""Measurements of the gateway: `python -m benchmarks`, or `make bench`. Not deployed."""
