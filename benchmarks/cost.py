"""CPU time per call: the gateway beside the floor programs, in rounds, each with programs of its own."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import load
from benchmarks.floor import FLOORS
from benchmarks.programs import Program
from benchmarks.setting import STREAMS, Bench, call, stream
from benchmarks.tables import table

#: The floor that the gateway is held against.
FLOOR = "starlette-aiohttp"
GATEWAY = "gateway"
#: What is measured, and the most that it may cost in floors; None where nothing is promised.
LIMITS: dict[str, float | None] = {"1": None, "16": 1.5, "64": 1.5, "stream": 1.3}


@dataclass(frozen=True, slots=True)
class Round:
    """CPU milliseconds per call in one round: of the program, the load generator and the upstream."""

    program: float
    generator: float
    upstream: float


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The tables, and which promises were not kept."""
    effort = bench.effort
    names = [GATEWAY, *FLOORS]
    rounds: dict[tuple[str, str], list[Round]] = {(name, case): [] for name in names for case in LIMITS}
    for number in range(effort.rounds):
        # Started anew: two gateways of the same code differ by up to a tenth for as long as they live.
        with contextlib.ExitStack() as stack:
            programs = {GATEWAY: stack.enter_context(bench.gateway())}
            programs |= {name: stack.enter_context(bench.floor(name)) for name in FLOORS}
            for program in programs.values() if effort.rounds > 1 else ():
                # Connections, caches, and what the interpreter learns about hot code.
                call(program, 500, 64)
                stream(program, STREAMS)
            for case in LIMITS:
                # The order changes from round to round, so that no one always follows the same other.
                for name in names if number % 2 == 0 else reversed(names):
                    rounds[name, case].append(_round(bench, programs[name], case))
    return report(names, rounds)


def _round(bench: Bench, program: Program, case: str) -> Round:
    if case == "stream":
        total = bench.effort.streams
        run: Callable[[], load.Result] = partial(stream, program, total)
    else:
        total = bench.effort.requests
        run = partial(call, program, total, int(case))
    own, upstream = program.cpu(), bench.upstream.cpu()
    result = run()
    spent = (program.cpu() - own, result.cpu, bench.upstream.cpu() - upstream)
    return Round(*(1000 * seconds / total for seconds in spent))


def report(names: list[str], rounds: dict[tuple[str, str], list[Round]]) -> tuple[str, list[str]]:
    """The tables, and which promises were not kept."""
    costs = [
        [name, *(statistics.median(one.program for one in rounds[name, case]) for case in LIMITS)]
        for name in names
    ]
    tools = [
        [title, *(statistics.median(getattr(one, part) for one in rounds[GATEWAY, case]) for case in LIMITS)]
        for title, part in (("load generator", "generator"), ("upstream", "upstream"))
    ]
    ratios = []
    broken = []
    for case, limit in LIMITS.items():
        pairs = zip(rounds[GATEWAY, case], rounds[FLOOR, case], strict=True)
        shares = sorted(own.program / floor.program for own, floor in pairs)
        ratio = statistics.median(shares)
        kept = limit is None or ratio <= limit
        if not kept:
            broken.append(f"CPU per call ({case}): {ratio:.2f} x the floor, at most {limit} x")
        verdict = "" if limit is None else "yes" if kept else "NO"
        ratios.append([case, ratio, f"{shares[0]:.2f} to {shares[-1]:.2f}", limit or "", verdict])
    head = ["CPU ms per call, median", "1 at a time", "16", "64", f"stream, {STREAMS} at a time"]
    ratio_head = [f"gateway / {FLOOR}", "median of rounds", "range", "must be at most", "kept"]
    return f"{table(head, [*costs, *tools])}\n\n{table(ratio_head, ratios)}", broken
