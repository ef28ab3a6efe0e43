"""Instances and a table in memory, in whatever order things happen: flushes, reads, crashes, roll-ups."""

from __future__ import annotations

import random
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from gateway.limits.ledger.rows import Row
from gateway.limits.ledger.view import View

START = 1_000_000_000.0
KEY = "q:d"


def spend(view: View, at: float, tokens: int, requests: int = 1) -> None:
    """Count as a balancer does: at once in the own view, and for the next row."""
    ring = view.ring(KEY)
    ring.advance(int(at))
    ring.add(int(at), tokens, requests)
    view.note(KEY, int(at), tokens, requests)


def written(view: View, now: float) -> list[Row]:
    """The rows of a flush that succeeds."""
    rows = view.rows(now, {})
    for row in rows:
        view.written(row)
    return rows


def total(view: View, now: float) -> tuple[int, int]:
    """The sums of a view."""
    view.ring(KEY).advance(int(now))
    return view.ring(KEY).tokens, view.ring(KEY).requests


def some_rows() -> list[Row]:
    """Versions of rows of three instances on three pages."""
    found = []
    for name in ("aaaaaa", "bbbbbb", "cccccc"):
        view = View(name)
        for step in range(6):
            spend(view, START + 4 * step, 3 ** (step % 3) + len(found))
            found += written(view, START + 4 * step)
    return found


@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_repetition_of_rows_change_no_sum(shuffler, repeats):
    rows = some_rows()
    now = START + 21
    straight = View("reader")
    straight.merge(rows, now)
    for _ in range(repeats):
        mixed = rows * repeats
        shuffler.shuffle(mixed)
        view = View("reader")
        while mixed:
            some = shuffler.randint(1, len(mixed))
            view.merge(mixed[:some], now)
            mixed = mixed[some:]

        assert total(straight, now) == total(view, now)


def test_an_older_version_never_wins():
    writer, reader = View("aaaaaa"), View("reader")
    spend(writer, START, 5)
    old = written(writer, START)
    spend(writer, START + 1, 7)
    new = written(writer, START + 1)
    reader.merge(new, START + 1)
    reader.merge(old, START + 2)

    assert (12, 2) == total(reader, START + 2)


def test_what_is_not_confirmed_comes_again():
    writer, reader = View("aaaaaa"), View("reader")
    spend(writer, START + 9, 5)
    lost = writer.rows(START + 9, {})
    spend(writer, START + 10, 7)
    again = writer.rows(START + 10, {})

    assert [lost[0], again[-1]] == again
    reader.merge(again, START + 10)
    assert (12, 2) == total(reader, START + 10)


def test_a_row_is_not_written_again_once_its_page_is_over():
    """What came after the last write of a page is in the next page's row."""
    writer = View("aaaaaa")
    spend(writer, START + 8, 5)
    written(writer, START + 8)
    spend(writer, START + 9, 7)

    assert [int(START) // 10 + 1] == [row.page for row in written(writer, START + 11)]


def test_nothing_is_written_when_nothing_changed():
    view = View("aaaaaa")

    assert not view.dirty
    assert [] == view.rows(START, {})
    spend(view, START, 5)
    assert view.dirty
    written(view, START)
    assert not view.dirty
    assert [] == view.rows(START, {})


def test_a_record_alone_causes_no_write_but_goes_with_the_next():
    view, reader = View("aaaaaa"), View("reader")
    view.record(KEY, int(START), 5, 1)

    assert not view.dirty
    spend(view, START, 7)
    reader.merge(written(view, START), START)
    assert (12, 2) == total(reader, START)


def test_damaged_rows_and_rows_of_other_times_are_ignored():
    reader = View("reader")
    page = int(START) // 10
    reader.merge([Row(page, "aaaaaa", 1, "no row"), Row(page, "bbbbbb", 1, '{"q":1,"l":{"q:d":[1]}}')], START)
    far = '{"q":1,"l":{"q:d":[0,5,1]}}'
    reader.merge([Row(page + 4, "aaaaaa", 1, far), Row(page - 9, "aaaaaa", 1, far)], START)

    assert (0, 0) == total(reader, START)


def test_a_cold_view_reads_a_whole_window_and_a_warm_one_little():
    view = View("aaaaaa")
    page = int(START) // 10

    assert page - 7 == view.first_page(START)
    view.merge([], START + 5)
    assert page == view.first_page(START + 6)
    view.merge([], START + 9)
    assert page == view.first_page(START + 11)
    view.merge([], START + 14)
    assert page + 1 == view.first_page(START + 15)
    assert page - 5 == view.first_page(START + 21)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["spend", "spend", "refund", "flush", "lose", "read", "sum", "readsum", "crash", "wait"]
        ),
        st.integers(0, 2),
        st.integers(1, 500),
    ),
    max_size=60,
)


@examples(150)
@given(steps, st.integers(0, 9))
def test_a_view_is_its_own_calls_exactly_and_the_others_as_last_read(plan, offset):
    """However flushes, reads, roll-ups, lost confirmations and crashes interleave.

    At every point a view holds its own calls exactly once, and of the others no more than they spent; after
    everything was written and read, everything of the living, and of the dead what they had written.
    """
    now = START + offset
    names = iter(f"i{number:05d}" for number in range(1000))
    views = [View(next(names)) for _ in range(3)]
    spent: list[dict[int, int]] = [{}, {}, {}]
    dead: dict[str, dict[int, int]] = {}
    table: dict[str, Row] = {}
    flushed: list[dict[int, int]] = [{}, {}, {}]
    rollup: str | None = None

    def window(amounts):
        return sum(tokens for second, tokens in amounts.items() if second > int(now) - 61)

    for what, who, amount in plan:
        view = views[who]
        if what == "wait":
            now += amount / 40
        elif what in {"spend", "refund"}:
            tokens = amount if what == "spend" else -min(amount, spent[who].get(int(now), 0))
            spend(view, now, tokens)
            spent[who][int(now)] = spent[who].get(int(now), 0) + tokens
        elif what in {"flush", "lose"}:
            for row in view.rows(now, {}):
                table[row.key] = row
                if what == "flush":
                    view.written(row)
            flushed[who] = dict(spent[who])
        elif what == "read":
            first = view.first_page(now)
            view.merge([row for row in table.values() if row.page >= first], now)
        elif what == "sum":
            first = view.first_page(now)
            view.merge([row for row in table.values() if row.page >= first], now)
            rollup = view.rollup(now, {})
        elif what == "readsum" and rollup is not None:
            view.merge_rollup(rollup, now)
        elif what == "crash":
            dead[next(names)] = flushed[who]
            views[who], spent[who], flushed[who] = View(next(names)), {}, {}
        for place, each in enumerate(views):
            tokens, _ = total(each, now)
            others = sum(window(spent[other]) for other in range(3) if other != place)
            lost = sum(window(amounts) for amounts in dead.values())
            negative = sum(amount for kind, _, amount in plan if kind == "refund")
            assert window(spent[place]) <= tokens + negative
            assert tokens <= window(spent[place]) + others + lost + negative
        if what not in {"spend", "refund"}:
            continue

    for view in views:
        for row in written(view, now):
            table[row.key] = row
    everything = sum(window(each) for each in spent) + sum(window(each) for each in dead.values())
    fresh = View("reader")
    fresh.merge(table.values(), now)
    assert everything == total(fresh, now)[0]
    for view in views:
        view.merge(table.values(), now)
        assert everything == total(view, now)[0]


@examples(60)
@given(st.integers(0, 2**32), st.integers(2, 6))
def test_own_calls_count_once_while_a_rollup_is_older_or_newer_than_they_are(seed, count):
    rng = random.Random(seed)
    now = START
    views = [View(f"i{number:05d}") for number in range(count)]
    mine = [0] * count
    table: dict[str, Row] = {}
    rollups: list[str] = []
    for _ in range(40):
        now += rng.random()
        who = rng.randrange(count)
        spend(views[who], now, 10)
        mine[who] += 10
        if rng.random() < 0.6:
            for row in views[who].rows(now, {}):
                table[row.key] = row
        reader = rng.randrange(count)
        if rng.random() < 0.5:
            views[reader].merge(table.values(), now)
            rollups.append(views[reader].rollup(now, {}))
        elif rollups:
            views[reader].merge_rollup(rng.choice(rollups[-3:]), now)
        for place, view in enumerate(views):
            assert mine[place] <= total(view, now)[0] <= sum(mine)
    for view in views:
        for row in view.rows(now, {}):
            table[row.key] = row
    views[0].merge(table.values(), now)
    text = views[0].rollup(now, {})

    assert views[1].merge_rollup(text, now) is not None
    assert sum(mine) == total(views[1], now)[0]


def test_a_rollup_and_the_rows_give_the_same_in_any_order():
    rows = some_rows()
    now = START + 21
    maker = View("maker0")
    maker.merge(rows, now)
    text = maker.rollup(now, {})
    actions = [lambda view: view.merge_rollup(text, now), lambda view: view.merge(rows[::2], now)]
    actions.append(lambda view: view.merge(rows[1::2], now))
    sums = set()
    for order in permutations(actions):
        view = View("reader")
        for action in order:
            action(view)
        sums.add(total(view, now))

    assert {total(maker, now)} == sums


def test_an_old_rollup_does_not_replace_a_read():
    maker, reader = View("maker0"), View("reader")
    text = maker.rollup(START, {})

    assert reader.merge_rollup(text, START + 0.9) is not None
    assert reader.merge_rollup(text, START + 1.1) is None
    assert reader.merge_rollup("no roll-up", START) is None
    assert reader.merge_rollup('{"t":1,"p":{"x":[]}}', START) is None


@examples(100)
@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 1000)), min_size=1, max_size=40),
    st.floats(0, 100),
)
def test_a_charge_is_at_least_the_last_60_seconds_and_at_most_61(calls, after):
    view = View("aaaaaa")
    now = START
    made = []
    for gap, tokens in calls:
        now += gap
        spend(view, now, tokens)
        made.append((now, tokens))
    now += after
    counted = total(view, now)[0]

    assert sum(tokens for at, tokens in made if at > now - 60) <= counted
    assert counted <= sum(tokens for at, tokens in made if at > now - 61)


def test_a_charge_at_the_end_of_its_second_counts_for_a_whole_minute():
    view = View("aaaaaa")
    spend(view, START + 0.9, 5)

    assert (5, 1) == total(view, START + 60.8)
    assert (0, 0) == total(view, START + 61)
