from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from gateway.limits.balancing.window import Window
from gateway.limits.ledger.window_sums import WindowSums

START = 1_000_000_000
LIMIT = 60_000


def learn(counter, *, minutes=4, seed=1, gap=0.2, window=None):
    """Calls at random, judged as they are made; `counter(at, tokens)` is what upstream has counted."""
    rng = random.Random(seed)
    window = window or Window()
    ring = WindowSums(61)
    now = float(START)
    judged = 0
    while now < START + 60 * minutes:
        now += rng.expovariate(1 / gap)
        tokens = rng.randint(20, 270)
        ring.advance(int(now))
        ring.add(int(now), tokens, 1)
        used = counter(now, tokens)
        if int(now) > judged:
            judged = int(now)
            window.observe(int(now), used, LIMIT, ring)
    return window


def tumbling(phase, factor=1.0):
    state = {"start": 0.0, "used": 0.0}

    def count(now, tokens):
        start = (now - phase) // 60
        if start != state["start"]:
            state.update(start=start, used=0.0)
        state["used"] += tokens * factor
        return int(state["used"])

    return count


def sliding():
    calls = deque()

    def count(now, tokens):
        calls.append((now, tokens))
        while calls[0][0] <= now - 60:
            calls.popleft()
        return sum(each for _, each in calls)

    return count


@examples(15)
@given(st.floats(0, 60, exclude_max=True), st.integers(0, 2**32))
def test_the_second_of_the_reset_is_found_after_three_minutes(phase, seed):
    window = learn(tumbling(phase), minutes=3, seed=seed)

    assert window.phase is not None
    assert (window.phase - phase + 1.5) % 60 <= 3
    assert window.bias == pytest.approx(1, abs=0.1)


@examples(10)
@given(st.integers(0, 2**32))
def test_a_sliding_minute_has_no_such_second(seed):
    assert learn(sliding(), seed=seed).phase is None


@examples(10)
@given(st.integers(0, 2**32))
def test_noise_is_not_taken_for_a_window(seed):
    rng = random.Random(seed)
    window = learn(lambda _now, _tokens: rng.randrange(LIMIT), seed=seed)

    assert window.phase is None
    assert 0.5 <= window.bias <= 2


@pytest.mark.parametrize(("factor", "bias"), [(0.7, 0.7), (1.4, 1.4), (9.0, 2.0), (0.1, 0.5)])
def test_the_bias_of_estimates_is_learnt_within_bounds(factor, bias):
    assert learn(tumbling(17, factor), minutes=5).bias == pytest.approx(bias, abs=0.25)


def test_a_second_that_a_429_named_settles_what_observations_blur():
    window = Window()
    for late in (0.9, 0.4, 0.7):
        window.named(START + 30 + late)
    expected = (START + 30.4) % 60

    assert expected == pytest.approx(learn(tumbling(expected), window=window).phase, abs=0.1)


def test_a_429_that_observations_contradict_is_not_believed():
    window = Window()
    window.named(START + 30)
    phase = (START + 50) % 60

    assert learn(tumbling(phase), window=window).phase == pytest.approx(phase, abs=1.5)


def test_a_model_survives_its_row_and_own_observations_win():
    learnt = learn(tumbling(17))
    fresh = Window()
    fresh.adopt(learnt.packed())

    assert (learnt.phase, pytest.approx(learnt.bias, abs=0.001)) == (fresh.phase, fresh.bias)
    before = (learnt.phase, learnt.bias)
    learnt.adopt([500, 3, 1.9, 0.1])
    assert before == (learnt.phase, learnt.bias)


@given(st.lists(st.none() | st.integers(-100, 2000) | st.floats() | st.text(max_size=2), max_size=5))
def test_what_is_no_model_is_ignored(value):
    window = Window()
    window.adopt(value)

    assert window.phase is None or 0 <= window.phase < 60
    assert 0.5 <= window.bias <= 2
