"""`python -m benchmarks [--quick] [NAME ...]`: measure, print Markdown, exit 1 when a promise is not kept."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
from pathlib import Path

from benchmarks import callers, coldstart, cost, flood, functions, latency, limits_cost, memory, python_api
from benchmarks.setting import FULL, QUICK, bench

MEASURES = {
    "cost": ("CPU per call", cost.measure),
    "latency": ("Added latency", latency.measure),
    "coldstart": ("Cold start", coldstart.measure),
    "callers": ("What knowing a caller costs", callers.measure),
    "flood": ("A flood of wrong keys", flood.measure),
    "memory": ("Memory", memory.measure),
    "limits": ("What limits cost", limits_cost.measure),
    "python": ("The Python API", python_api.measure),
    "functions": ("On the Functions worker runtime", functions.measure),
}


def main() -> int:
    """Run the measures that the command line names, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(MEASURES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - MEASURES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    print(describe_machine())
    broken: list[str] = []
    with bench(QUICK if options.quick else FULL) as setting:
        for name in options.names or MEASURES:
            title, measure = MEASURES[name]
            text, failed = measure(setting)
            print(f"\n### {title}\n\n{text}", flush=True)
            broken += [] if options.quick else failed
    for promise in broken:
        print(f"NOT KEPT: {promise}", file=sys.stderr)
    return 1 if broken else 0


def describe_machine() -> str:
    """One line on where and when this was measured."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    today = dt.datetime.now(dt.UTC).date()
    system = f"{platform.system()} {platform.release()}"
    return f"{today}, {os.cpu_count()} x {model}, {system}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
