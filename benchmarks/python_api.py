"""What the Python API costs: an import, and a call beside the core without a server and openai-python's."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.programs import ROOT, on_core
from benchmarks.setting import Bench
from benchmarks.tables import table

#: CPU of a call by `acompletion` in that of the core.
MOST = 1.3
#: CPU seconds of importing the API, beyond the interpreter's start.
MOST_IMPORT = 0.15
CONCURRENCY = 16
WAYS = ("core", "acompletion", "openai")
_IMPORT = """
import time
began = time.process_time()
from gateway import completion, acompletion, speech, Router
print(time.process_time() - began)
"""


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The tables, and which promises were not kept."""
    effort = bench.effort
    costs: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(effort.rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            costs[way].append(_call(bench, way))
    ratio = statistics.median(
        own / core for own, core in zip(costs["acompletion"], costs["core"], strict=True)
    )
    imported = statistics.median(_output(bench, "-c", _IMPORT) for _ in range(effort.starts))
    rows = [[way, statistics.median(costs[way])] for way in WAYS]
    broken = []
    if ratio > MOST:
        broken.append(f"acompletion: {ratio:.2f} x the core's CPU, at most {MOST} x")
    if imported > MOST_IMPORT:
        broken.append(f"import: {imported:.3f} s of CPU, at most {MOST_IMPORT}")
    text = table([f"CPU ms per call, {CONCURRENCY} at a time, median", "ms"], rows)
    text += "\n\n" + table(
        ["promise", "measured", "must be at most"],
        [
            ["acompletion / core, median of rounds", ratio, MOST],
            ["CPU s of `from gateway import ...`, median", imported, MOST_IMPORT],
        ],
    )
    return text, broken


def _call(bench: Bench, way: str) -> float:
    requests = bench.effort.requests // CONCURRENCY * CONCURRENCY
    program = ("-m", "benchmarks.python_caller", way, bench.upstream.port, requests, CONCURRENCY)
    return _output(bench, *program)


def _output(bench: Bench, *arguments: object) -> float:
    """The number that a program of this interpreter prints, on the core of what is measured."""
    command = [sys.executable, *map(str, arguments)]
    with on_core(bench.core):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # noqa: S603  our own
    return float(json.loads(done.stdout))
