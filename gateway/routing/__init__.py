"""Which deployment answers a call: retries, fallbacks."""
