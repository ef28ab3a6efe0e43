"""How many tokens a call takes: estimates before it, usage and rate-limit headers after it."""
