"""`python -m benchmarks.limits`: the table of the limits, and whether what must hold does.

Deterministic: the same seeds give the same table. `--quick` is a short form with one seed.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from statistics import mean

from benchmarks.limits import bars, caps
from benchmarks.limits.runs import POLICIES, Figures, run
from benchmarks.limits.world import Scenario

_QUICK_WARMUP, _QUICK_MEASURED = 130.0, 100.0
_QUICK = ("L 0.9", "L 1.2", "sliding, L 0.95")
_OTHERS = ("oracle", "weighted")


def main() -> int:
    """Run, print, and return 1 when something that must hold does not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, three scenarios, short")
    parser.add_argument("--seeds", type=int, default=10, help="how many traces (10)")
    parser.add_argument("--processes", type=int, default=1, help="processes to use (1)")
    parser.add_argument("--only", help="scenarios whose name contains this")
    options = parser.parse_args()
    seeds = range(1, 2 if options.quick else options.seeds + 1)
    missed: list[str] = []
    c429: dict[str, float] = {}
    write("| scenario | policy | u429 | c429 | avoid | util | PTU | operations per 1,000 | added ms p50 |")
    write("|---|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(options.processes) as pool:
        for scenario, must in bars.SCENARIOS:
            if options.quick:
                if scenario.name not in _QUICK:
                    continue
                scenario = replace(scenario, warmup=_QUICK_WARMUP, measured=_QUICK_MEASURED)  # noqa: PLW2901
            if options.only is not None and options.only not in scenario.name:
                continue
            row = {policy: _mean(pool, policy, scenario, seeds) for policy in _policies(scenario)}
            c429[scenario.name] = row["gateway"].c429
            for policy, figures in row.items():
                write(f"| {scenario.name} | {policy} | {_cells(figures)} |")
            missed += [f"{scenario.name}: {bar.text}" for bar in must if not bar.holds(row)]
        if not options.quick and options.only is None:
            missed += _cap(pool, seeds)
    spread = [c429[name] for name in bars.SPREAD_OVER if name in c429]
    if not options.quick and len(spread) > 1 and max(spread) - min(spread) > bars.SPREAD:
        missed.append(f"c429 differs by more than {bars.SPREAD} over N")
    for each in missed:
        write(f"MISSED {each}")
    if not missed:
        write("All that must hold holds.")
    return 1 if missed else 0


def _policies(scenario: Scenario) -> tuple[str, ...]:
    compared = scenario.limiter == "tumbling" and not scenario.wait and not scenario.outage
    return tuple(POLICIES) if compared else ("gateway", *_OTHERS)


def _mean(pool: ProcessPoolExecutor, policy: str, scenario: Scenario, seeds: range) -> Figures:
    runs = list(pool.map(run, *zip(*((policy, scenario, seed) for seed in seeds), strict=True)))
    return Figures(*(mean(getattr(each, field.name) for each in runs) for field in fields(Figures)))


def _cap(pool: ProcessPoolExecutor, seeds: range) -> list[str]:
    """The capped client: its table, and what was missed."""
    missed = []
    write("")
    write("| cap on a client, twice as much offered | highest 60 s | mean minute |")
    write("|---|---|---|")
    for instances in (5, 200):
        found = list(pool.map(caps.measure, *zip(*((instances, seed) for seed in seeds), strict=True)))
        highest, level = mean(each[0] for each in found), mean(each[1] for each in found)
        write(f"| N {instances} | {highest:.1f} % | {level:.1f} % |")
        if highest > bars.CAP_HIGHEST or not bars.CAP_LEAST <= level <= bars.CAP_MOST:
            missed.append(f"cap, N {instances}: highest <= {bars.CAP_HIGHEST} %, mean 96 to 102 %")
    return missed


def _cells(figures: Figures) -> str:
    numbers = (figures.u429, figures.c429, figures.avoid, figures.util, figures.ptu)
    return " | ".join(f"{each:.2f}" for each in numbers) + (
        f" | {figures.operations:.0f} | {figures.added:.2f}"
    )


def write(line: str) -> None:
    """One line of the report, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
