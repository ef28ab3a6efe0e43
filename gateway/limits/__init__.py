"""Limits and the choice of a deployment: arithmetic without I/O. `balancing/balancer.py` is the way in.

Time is an argument everywhere, in seconds since 1970; so is the source of randomness.
"""
