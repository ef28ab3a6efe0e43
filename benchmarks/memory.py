"""Resident memory of the gateway: at rest, after many requests, after many streams."""

from __future__ import annotations

from benchmarks.setting import Bench, call, stream
from benchmarks.tables import table


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table; nothing is promised here, the soak tests hold a bound."""
    effort = bench.effort
    with bench.gateway() as gateway:
        rows = [["at rest", gateway.rss()]]
        call(gateway, min(500, effort.requests), 16)
        rows.append(["after the first 500 requests", gateway.rss()])
        call(gateway, effort.many_requests, 16)
        rows.append([f"after {effort.many_requests:,} requests", gateway.rss()])
        stream(gateway, effort.many_streams, 64)
        rows.append([f"after {effort.many_streams:,} streams", gateway.rss()])
    return table(["resident memory", "MB"], rows), []
