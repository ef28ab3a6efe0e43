from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sharing.freshness import freshness


@pytest.mark.parametrize(
    ("capped", "near_end", "instances", "expected"),
    [
        (False, False, 1, (1.2, 1.4)),
        (True, False, 200, (1.0, 1.0)),
        (True, True, 2, (0.34, 0.44)),
        (True, True, 20, (0.7, 0.8)),
        # A client's cap near its end beside deployments that are steered by.
        (False, True, 50, (1.2, 1.4)),
    ],
)
def test_how_old_a_view_may_be(capped, near_end, instances, expected):
    found = freshness(capped=capped, near_end=near_end, instances=instances)
    assert expected == pytest.approx(found)


@given(st.booleans(), st.booleans(), st.integers(1, 1000))
def test_nothing_makes_a_view_older_than_it_is_without_it_nor_waits_before_it_reads(capped, near_end, known):
    found = freshness(capped=capped, near_end=near_end, instances=known)
    usual = freshness(capped=capped, near_end=False, instances=known)

    assert found.refresh_after <= usual.refresh_after
    assert found.refresh_after <= found.wait_after <= usual.wait_after
