from __future__ import annotations

import copy
import json
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from gateway.errors import retry_seconds
from gateway.limits.caps.cap import Cap
from gateway.limits.caps.strict_row import LATE, StrictNeed, reserve_all, settle_all
from gateway.limits.ledger.view import View
from gateway.limits.tokens.signals import Wait

START = 1_000_000_000.0


def cap(rpm=None, tpm=None, view=None, key="u:d", *, strict=False):
    return Cap(key, rpm, tpm, view or View("aaaaaa"), strict=strict)


def test_exactly_rpm_calls_fit_and_the_next_one_after_a_minute():
    limit = cap(rpm=20)
    for _ in range(20):
        assert limit.full(5, START) is None
        limit.reserve(5, START)

    assert "requests" == limit.full(5, START)
    assert Wait(60, "requests") == limit.wait(5, START)
    assert "requests" == limit.full(5, START + 59.99)
    assert limit.full(5, START + 60) is None


def test_a_call_larger_than_the_cap_fits_an_empty_window():
    limit = cap(tpm=100)

    assert limit.full(5000, START) is None
    limit.reserve(5000, START)
    assert "tokens" == limit.full(1, START)


def test_a_reservation_settles_to_what_was_used():
    limit = cap(rpm=5, tpm=100)
    place = limit.reserve(90, START)
    limit.settle(place, 30)

    assert (30, 1) == limit.used(START)
    limit.settle(place, 130)
    assert (130, 1) == limit.used(START)


def test_a_call_that_was_never_sent_leaves_nothing():
    limit = cap(rpm=5, tpm=100)
    limit.withdraw(limit.reserve(90, START))

    assert (0, 0) == limit.used(START)


def test_a_late_settlement_changes_nothing():
    limit = cap(tpm=100)
    place = limit.reserve(90, START)
    limit.used(START + 60)
    limit.settle(place, 500)

    assert (0, 0) == limit.used(START + 60)


def test_others_count_until_a_minute_after_their_second_began():
    view, other = View("aaaaaa"), View("bbbbbb")
    limit, theirs = cap(rpm=1, view=view), cap(rpm=1, view=other)
    theirs.reserve(5, START + 0.9)
    view.merge(other.rows(START + 0.9, {}), START + 1)

    assert "requests" == limit.full(5, START + 59.9)
    assert 58.1 == round(limit.wait(5, START + 1.9).seconds, 6)
    assert limit.full(5, START + 60) is None


@pytest.mark.parametrize(
    ("limits", "tokens", "calls"),
    [({"rpm": 20}, 1, 16), ({"tpm": 1000}, 100, 8), ({"rpm": 20, "tpm": 1000}, 100, 8)],
)
def test_a_cap_is_watched_from_its_last_quarter_on(limits, tokens, calls):
    view = View("aaaaaa")
    limit, strict = cap(**limits, view=view), cap(**limits, view=view, strict=True)
    for _ in range(calls):
        assert not view.near_full(START)
        limit.reserve(tokens, START)
        strict.reserve(tokens, START)
    assert view.near_full(START + 1.9)
    assert not view.near_full(START + 2)


def test_a_strict_cap_is_not_watched():
    view = View("aaaaaa")
    limit = cap(rpm=1, view=view, strict=True)
    limit.reserve(1, START)

    assert not view.near_full(START)


calls = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 400), st.none() | st.integers(0, 600)), max_size=60
)


@given(calls, st.none() | st.integers(1, 8), st.none() | st.integers(100, 1000))
def test_no_60_seconds_hold_more_reservations_than_the_cap(steps, rpm, tpm):
    """One instance, exact: requests never, tokens as reserved or as used if that was less."""
    limit = cap(rpm, tpm)
    now = START
    sent: list[tuple[float, int]] = []
    for gap, tokens, used in steps:
        now += gap
        window = [each for each in sent if each[0] > now - 60]
        fits = (rpm is None or len(window) < rpm) and (
            tpm is None or sum(each[1] for each in window) + min(tokens, tpm) <= tpm
        )

        assert fits == (limit.full(tokens, now) is None)
        if not fits:
            continue
        place = limit.reserve(tokens, now)
        cost = place.tokens
        if used is not None and used <= cost:
            limit.settle(place, used)
            cost = used
        sent.append((now, cost))


@given(calls, st.none() | st.integers(1, 8), st.none() | st.integers(100, 1000), st.integers(1, 1500))
def test_a_client_that_waits_as_told_gets_in_and_not_much_sooner(steps, rpm, tpm, wanted):
    view, other = View("aaaaaa"), View("bbbbbb")
    limit, theirs = cap(rpm, tpm, view), cap(rpm, tpm, other)
    now = START
    for place, (gap, tokens, _) in enumerate(steps):
        now += gap
        (theirs if place % 3 == 0 else limit).reserve(tokens, now)
    view.merge(other.rows(now, {}), now)
    wait = limit.wait(wanted, now).seconds

    assert 0 <= wait <= 60
    assert (wait == 0) == (limit.full(wanted, now) is None)
    if wait > 0.01:
        assert limit.full(wanted, now + wait - 0.01) is not None
    assert limit.full(wanted, now + wait + 1e-6) is None


needs = st.lists(st.tuples(st.integers(0, 12 << 10), st.integers(1, 50)), min_size=1, max_size=40)


@given(needs, st.integers(1, 10), st.none() | st.integers(20, 200))
def test_a_strict_row_never_holds_more_than_the_cap_in_60_seconds(steps, rpm, tpm):
    text = None
    now = START
    sent: list[tuple[float, int]] = []
    for gap, tokens in steps:
        now += gap / 3072
        text, waits = reserve_all(text, [StrictNeed("k", rpm, tpm, tokens)] * 2, now)
        for wait in waits:
            if wait is not None:
                assert 0 < wait.seconds <= 60.011
                continue
            sent.append((now, tokens if tpm is None else min(tokens, tpm)))
        window = [each for each in sent if each[0] > now - 60]
        assert len(window) <= rpm
        assert tpm is None or sum(each[1] for each in window) <= tpm
        # Whoever waits as told gets in, if nobody else came.
        if waits[-1] is not None:
            later = now + waits[-1].seconds + 1e-6
            _, (again,) = reserve_all(text, [StrictNeed("k", rpm, tpm, tokens)], later)
            assert again is None


def test_of_80_calls_in_groups_exactly_20_get_into_a_strict_row():
    text, granted = None, 0
    for size in (1, 39, 33, 7):
        text, waits = reserve_all(text, [StrictNeed("k", 20, None, 10)] * size, START)
        granted += waits.count(None)

    assert 20 == granted


def test_a_strict_row_settles_and_what_was_never_sent_leaves_it():
    need = StrictNeed("k", 2, 100, 80)
    text, _ = reserve_all(None, [need], START)
    text = settle_all(text, [(START, -60, 0)], START + 5)
    text, waits = reserve_all(text, [need], START + 5)

    assert [None] == waits
    text = settle_all(text, [(START + 5, -80, -1)], START + 6)
    assert [None] == reserve_all(text, [need], START + 6)[1]


@given(st.text(max_size=30))
def test_a_damaged_strict_row_is_an_empty_one(text):
    _, waits = reserve_all(text, [StrictNeed("k", 1, None, 1)], START)

    assert waits == [None] or text.strip().startswith("[")


@examples(30)
@given(st.integers(0, 2**32), st.integers(2, 20))
def test_a_shared_cap_is_passed_by_no_more_than_what_instances_had_not_told_each_other(seed, count):
    """Steady calls at twice the cap, flushed and read every 1.3 s."""
    import random

    rng = random.Random(seed)
    rpm, rate = 240, 8.0
    views = [View(f"i{number:05d}") for number in range(count)]
    caps = [cap(rpm=rpm, view=view) for view in views]
    table, sent, now, told = {}, deque(), START, START
    while now < START + 130:
        now += 1 / rate
        if now - told > 1.3:
            told = now
            for view in views:
                table |= {row.key: row for row in view.rows(now, {})}
            for view in views:
                first = view.first_page(now)
                view.merge([row for row in table.values() if row.page >= first], now)
        mine = caps[rng.randrange(count)]
        if mine.full(1, now) is None:
            mine.reserve(1, now)
            sent.append(now)
        while sent and sent[0] <= now - 60:
            sent.popleft()
        assert len(sent) <= rpm + rate * 2.4


def test_a_strict_row_keeps_a_call_for_a_whole_minute():
    need = StrictNeed("k", 1, None, 1)
    text, _ = reserve_all(None, [need], START + 0.905)

    assert [None] != reserve_all(text, [need], START + 60.904)[1]
    assert [None] == reserve_all(text, [need], START + 60.911)[1]


@pytest.mark.parametrize("step", [4, 8], ids=["a dense minute", "clocks ahead"])
def test_a_strict_row_of_very_many_ticks_stays_small_and_counts_all_of_them(step):
    first, count = int(START * 100), 1475
    text = json.dumps([first, *(number for place in range(count) for number in (step * place, 90_000, 1))])
    now = START + 59
    text, _ = reserve_all(text, [StrictNeed("k", None, None, 7)], now)

    flat = json.loads(text)
    assert len(flat) <= 1 + 3 * 1000
    assert len(text) <= 32_768
    assert (count * 90_000 + 7, count + 1) == (sum(flat[2::3]), sum(flat[3::3]))


def test_a_strict_row_forgets_what_a_clock_counted_that_was_an_hour_ahead():
    need = StrictNeed("k", 1, None, 1)
    text, _ = reserve_all(None, [need], START + 3600)

    assert [None] == reserve_all(text, [need], START)[1]
    assert [None] != reserve_all(text, [need], START + 3541)[1]


def test_a_call_whose_tick_was_merged_settles_and_keeps_its_place_for_a_minute_and_a_moment():
    first, count = int(START * 100), 1475
    text = json.dumps([first, *(number for place in range(count) for number in (4 * place, 10, 1))])
    text, _ = reserve_all(text, [StrictNeed("k", None, None, 0)], START + 59)
    text = settle_all(text, [(START + 0.24, -4, 0)], START + 59.5)
    alone = StrictNeed("k", None, count * 10 - 4, 1)

    assert sum(json.loads(text)[2::3]) == count * 10 - 4
    # Of the first ten calls, of 0 s to 0.36 s, none leaves early and none later than a tenth of a second.
    for place in range(10):
        left = StrictNeed("k", count + 1 - place, None, 0)
        assert [None] != reserve_all(text, [left], START + 60 + 0.04 * place - 0.001)[1]
        assert [None] == reserve_all(text, [left], START + 60 + 0.04 * place + LATE)[1]
    assert [None] != reserve_all(text, [alone], START + 59.9)[1]


def test_a_late_correction_takes_nothing_from_a_call_of_the_next_tenth_of_a_second():
    text, _ = reserve_all(None, [StrictNeed("k", None, 100, 60)], START + 0.1)

    assert text == settle_all(text, [(START + 0.01, -60, -1)], START + 60.05)


def test_a_call_that_its_row_granted_leaves_a_strict_cap_a_minute_after_that():
    limit = cap(rpm=3, strict=True)
    late, early = limit.reserve(5, START), limit.reserve(5, START)
    limit.granted(late, START + 2.5)
    limit.granted(early, START + 0.5)

    assert (10, 2) == limit.used(START + 60.4)
    assert (5, 1) == limit.used(START + 60.5)
    assert (0, 0) == limit.used(START + 62.5)
    limit.granted(late, START + 63)
    assert (0, 0) == limit.used(START + 63)


def test_others_hear_of_a_call_in_the_second_in_which_its_row_counts_it():
    view, other = View("aaaaaa"), View("bbbbbb")
    limit, theirs = cap(rpm=1, view=view, strict=True), cap(rpm=1, view=other, strict=True)
    place = theirs.reserve(5, START + 0.9)
    theirs.granted(place, START + 2.2)
    theirs.settle(place, 8)
    view.merge(other.rows(START + 3, {}), START + 3)

    assert (8, 1) == limit.used(START + 61.9)
    # The second of the call ends at 3: only then is it sure that a minute has passed.
    assert 60 == limit.wait(5, START + 3).seconds
    assert (0, 0) == limit.used(START + 62)


class Pair:
    """Two instances under one strict cap, and its row."""

    def __init__(self, rpm, tpm):
        self.views = View("aaaaaa"), View("bbbbbb")
        self.caps = [cap(rpm, tpm, view, strict=True) for view in self.views]
        self.rpm, self.tpm = rpm, tpm
        self.text = None

    def ask(self, which, tokens, now, until_row):
        """A call at one of them, as Account and Reservations make it: its place or its wait, and when."""
        view, other, limit = self.views[which], self.views[1 - which], self.caps[which]
        view.merge(other.rows(now, {}), now)
        if limit.full(tokens, now) is not None:
            return None, limit.wait(tokens, now).seconds, now
        place = limit.reserve(tokens, now)
        now += until_row
        need = StrictNeed("k", self.rpm, self.tpm, limit.clipped(tokens))
        wait = self.reserve(need, now)
        if wait is not None and wait.seconds <= LATE:
            now += wait.seconds + 0.002
            wait = self.reserve(need, now)
        if wait is not None:
            limit.withdraw(place)
            return None, wait.seconds, now
        limit.granted(place, now)
        return place, 0.0, now

    def reserve(self, need, now):
        self.text, (wait,) = reserve_all(self.text, [need], now)
        return wait

    def settle(self, which, place, tokens, now):
        self.text = settle_all(self.text, [(place.at, tokens - place.tokens, 0)], now)
        self.caps[which].settle(place, tokens)


#: Fractions of seconds that floats hold exactly: what is tested is not their rounding.
moments = st.integers(0, 12 << 10).map(lambda number: number / 1024)
visits = st.lists(
    st.tuples(
        moments,
        st.booleans(),
        st.integers(1, 400),
        st.none() | st.integers(0, 500),
        st.integers(0, 50).map(lambda number: number / 1024),
    ),
    max_size=30,
)


@given(visits, st.none() | st.integers(1, 8), st.none() | st.integers(100, 1000), st.booleans())
def test_whoever_waits_as_a_strict_cap_told_gets_in_at_either_instance(steps, rpm, tpm, elsewhere):
    pair = Pair(rpm, tpm)
    now = START
    for gap, first, tokens, used, until_row in steps:
        which = int(first)
        place, wait, now = pair.ask(which, tokens, now + gap, until_row)
        if place is None:
            again = copy.deepcopy(pair)
            came = now + retry_seconds(wait)
            assert again.ask(which ^ elsewhere, tokens, came, until_row)[0] is not None
        elif used is not None:
            pair.settle(which, place, used, now)
