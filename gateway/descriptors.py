"""How many connections the limit on open files has room for (getrlimit(2), RLIMIT_NOFILE).

Each call takes two descriptors, the caller's connection and the upstream's; what else is open is set aside.
"""

from __future__ import annotations

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

#: Descriptors for files, the event loop, tables and look-ups of names; and connections on their way out.
SET_ASIDE = 164
#: Connections of a kind that are allowed however low the limit is.
FEWEST = 10


def make_room(connections: int) -> None:
    """Raise the limit as far as that many connections of each kind need it, and the system allows."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SET_ASIDE + 2 * connections
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most_connections(wanted: int) -> int:
    """As many as are wanted of each kind, or as the limit has room for."""
    if resource is None:
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(FEWEST, (soft - SET_ASIDE) // 2))
