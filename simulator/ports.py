"""Ports of this machine: one for a server that starts in a moment, and one on which nobody ever answers."""

from __future__ import annotations

import contextlib
import random
import socket

#: Below those that Linux (from 32768) and macOS (from 49152) take for outgoing connections and for port 0:
#: what runs beside a test would take such a port between the choice and the server's start.
_PORTS = range(10_000, 30_000)
_dice = random.SystemRandom()


def free_port() -> int:
    """A port of 127.0.0.1 for a server that starts in a moment. Raises OSError where no port is free.

    Nobody else is given it while this process lives: an open UDP socket of the same number keeps it.
    """
    for port in _dice.sample(_PORTS, 100):
        with contextlib.suppress(OSError):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
            return _keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), port)
    raise OSError("of a hundred ports none is free")


def closed_port() -> int:
    """A port of 127.0.0.1 to which connecting is refused while this process lives: taken, no listener."""
    return _keep(socket.socket(), 0)


def _keep(bound: socket.socket, port: int) -> int:
    """The port to which a socket is bound until the process ends. Raises OSError where it is taken."""
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    port = bound.getsockname()[1]
    bound.detach()
    return port
