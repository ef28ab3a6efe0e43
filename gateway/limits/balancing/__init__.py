"""Which deployment has the most room: health, cooldowns, the choice."""
