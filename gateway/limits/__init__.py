"""Limits and the choice of a deployment: arithmetic without I/O. `balancer.py` is the way in.

Time is an argument everywhere, in seconds since 1970; so is the source of randomness.

* Which deployment: `choosing` (the rule), `choice` (the draw), `member` (one deployment's room).
* What a call counts: `estimate` and `lengths` before it, `counting` and `outcome` around it.
* Caps: `caps`, `clients`, and `strict` for those that are exact.
* Upstream's own limiter: `signals` (its replies), `window` (its minute).
* Rests: `cooldown`, `health`.
* Between instances: `view` of `own` and `others`' `rows` in `store`, `gossip` (what is no count), `freshness`
  and `spending` (when a view is too old). `ring` holds sums by the second.
* What operators and clients are told: `report`.
"""
