"""The scenarios of the table, and what must hold between their figures on the same traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.limits.runs import Figures
from benchmarks.limits.world import SIX, TWENTY, Scenario

#: Policy -> mean figures.
Row = Mapping[str, Figures]

#: Those of the fleets in `make soak`.
_SMALL = (30, 60, 120)
#: Provisioned throughput of 70 % of all tokens that can be used, before six pay-as-you-go deployments.
_PTU = (1400, 26, 52, 104, 130, 208, 348)


@dataclass(frozen=True, slots=True)
class Bar:
    """One relation: what it says, and whether it holds."""

    text: str
    holds: Callable[[Row], bool]


def _own(text: str, of: Callable[[Figures], float], most: float) -> Bar:
    return Bar(f"{text} <= {most}", lambda row: of(row["gateway"]) <= most)


def _share(share: float) -> Bar:
    return Bar(f"u429 <= {share} x weighted", lambda row: row["gateway"].u429 <= share * row["weighted"].u429)


def _above(points: float, than: str = "oracle") -> Bar:
    return Bar(f"c429 <= {than} + {points}", lambda row: row["gateway"].c429 <= row[than].c429 + points)


def _operations(most: float) -> Bar:
    return _own("operations", lambda figures: figures.operations, most)


def _added(most: float) -> Bar:
    return _own("added ms", lambda figures: figures.added, most)


_UTIL = Bar("util >= weighted - 0.4", lambda row: row["gateway"].util >= row["weighted"].util - 0.4)
_PTU_UTIL = Bar("PTU util >= oracle - 0.7", lambda row: row["gateway"].ptu >= row["oracle"].ptu - 0.7)
_U429 = _own("u429", lambda figures: figures.u429, 0.15)
_PTU_U429 = _own("u429", lambda figures: figures.u429, 4)
_AVOID = _own("avoid", lambda figures: figures.avoid, 0.3)

SCENARIOS: tuple[tuple[Scenario, tuple[Bar, ...]], ...] = (
    (Scenario("L 0.8", load=0.8), (_U429, _above(0.05))),
    (Scenario("L 0.9", load=0.9), (_share(0.15), _above(0.45))),
    (Scenario("L 0.95"), (_share(0.2), _AVOID, _above(1.5), _operations(1600), _added(5))),
    (Scenario("L 0.95, waiting up to 5 s", wait=5), (_above(0.6),)),
    (Scenario("L 1.2", load=1.2), (_UTIL, _share(0.45))),
    (Scenario("three small, L 1.5, N 5", load=1.5, instances=5, capacities=_SMALL), (_above(0.5), _UTIL)),
    (Scenario("L 0.95, N 1", instances=1), (_operations(150),)),
    (Scenario("L 0.95, N 200", instances=200), (_share(0.12),)),
    (Scenario("D 20, L 0.95", capacities=TWENTY), (_share(0.12), _above(0.5))),
    (Scenario("sliding, L 0.95", limiter="sliding"), (_share(0.5), _above(0.6, "weighted"))),
    (Scenario("leaky, L 0.95", limiter="leaky"), (_U429,)),
    (Scenario("PTU", limiter="ptu", load=1.21, capacities=_PTU), (_PTU_UTIL, _PTU_U429)),
    (Scenario("storage down 60 s, L 0.95", outage=60), (_share(0.6),)),
    (
        Scenario(
            "sparse: 11 calls/s, N 200", load=0.95, instances=200, capacities=tuple(each // 3 for each in SIX)
        ),
        (_operations(2200), _added(10)),
    ),
)

#: Scenarios between which c429 must not differ by more than SPREAD points.
SPREAD_OVER = ("L 0.95", "L 0.95, N 1", "L 0.95, N 200")
SPREAD = 0.35
#: Highest 60 s, and least and most of the mean minute, of a capped client in % of its cap.
CAP_HIGHEST, CAP_LEAST, CAP_MOST = 109.0, 96.0, 102.0
