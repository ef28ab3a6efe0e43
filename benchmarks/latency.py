"""What the gateway adds to the time of a call: direct calls and calls through it, in alternating rounds."""

from __future__ import annotations

from benchmarks.programs import Program
from benchmarks.setting import Bench, call
from benchmarks.tables import table
from benchmarks.traffic import PATH, UPSTREAM_PATH


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table; nothing is promised."""
    effort = bench.effort
    rows = []
    with bench.gateway() as gateway:
        call(gateway, min(500, effort.requests), 16)
        for concurrency in (1, 16):
            direct: list[float] = []
            through: list[float] = []
            for _ in range(effort.rounds):
                direct += _latencies(bench.upstream, UPSTREAM_PATH, effort.requests // 2, concurrency)
                through += _latencies(gateway, PATH, effort.requests // 2, concurrency)
            figures = [_percentile(through, share) - _percentile(direct, share) for share in (0.5, 0.99)]
            plain = [_percentile(direct, share) for share in (0.5, 0.99)]
            rows.append([f"{concurrency} at a time", *(1000 * seconds for seconds in (*plain, *figures))])
    head = ["ms", "direct p50", "direct p99", "added p50", "added p99"]
    return table(head, rows), []


def _latencies(program: Program, path: str, total: int, concurrency: int) -> list[float]:
    return call(program, total, concurrency, path=path).latencies


def _percentile(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
