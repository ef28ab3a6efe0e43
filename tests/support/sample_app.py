"""The function app that the tests of the hosts run, and what it and its host tell of themselves."""

from __future__ import annotations

from pathlib import Path

from support import http

SAMPLE_APP = Path(__file__).parents[1] / "server" / "sample_app"


def seen(host, event: str) -> int:
    """How often the sample app's handlers have noted `event`."""
    return http.get(f"{host.url}/api/seen").json().get(event, 0)


def state(host) -> dict[str, int]:
    """The state of the Functions worker."""
    return http.get(f"{host.url}/__host").json()
