"""Rows come from a table that others may write to: none of them may raise, or count beyond its bounds."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples
from support.limits import NOW, Instance, deployment

from gateway.limits.caps.strict_row import StrictNeed, reserve_all, settle_all
from gateway.limits.ledger.rows import Row, decode, page_of

PAGE = page_of(NOW)
OTHER = "bbbbbb"
HUGE = 10**400

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        [HUGE, -HUGE, 2**63, 1e308, math.inf, -math.inf, math.nan, NOW, NOW + 5, "tokens", "health"]
    ),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(st.sampled_from(["a", "b", "chat", "q:a", "u:a", "x"]), inner),
    ),
    max_leaves=20,
)
notes = st.fixed_dictionaries({}, optional=dict.fromkeys(("c", "o", "m", "n", "l", "t", "p"), values))


def instance():
    return Instance(deployment("a", rpm=10, tpm=1000), deployment("b", rpm=10, tpm=1000), capped=True)


def row(contents, seq=1, page=PAGE):
    return Row(page, OTHER, seq, json.dumps({"q": seq, **contents}))


@given(notes)
@examples(60)
def test_no_row_raises_whatever_it_tells(contents):
    one = instance()
    one.balancer.merge([row({"l": {}, **contents})], NOW)
    one.balancer.choose(one.group, _small(), (), NOW + 1)
    one.balancer.merge_rollup(json.dumps({"t": NOW, "p": {}, **contents}), NOW)
    one.balancer.choose(one.group, _small(), (), NOW + 2)
    one.balancer.state(NOW + 2)
    one.balancer.rows(NOW + 2)
    one.balancer.rollup(NOW + 2)


@given(values, st.dictionaries(st.text(max_size=20), values, max_size=3), scalars)
@examples(60)
def test_no_roll_up_raises_whatever_it_holds(ledgers, seqs, made):
    one = instance()
    one.balancer.merge([row({"l": {"q:a": [0, 5, 1]}})], NOW)
    for made_at in (NOW, made):
        text = json.dumps({"t": made_at, "p": {str(PAGE): [ledgers, seqs]}})
        one.balancer.merge_rollup(text, NOW)
    one.balancer.merge([row({"l": {"q:a": [0, 6, 1]}}, seq=2)], NOW)
    assert 0 <= one.charge("a", NOW) or isinstance(ledgers, dict)


@given(st.data())
@examples(60)
def test_a_row_with_changed_characters_raises_nothing_but_a_value_error(data):
    one = instance()
    one.send(NOW)
    (true,) = one.flush(NOW)
    place = data.draw(st.integers(0, len(true.text) - 1))
    text = (
        true.text[:place] + data.draw(st.text(max_size=3)) + true.text[place + data.draw(st.integers(0, 3)) :]
    )
    other = instance()
    try:
        changed = Row.read(f"{true.page:010d}{OTHER}", text)
    except ValueError:
        return
    other.balancer.merge([changed], NOW)
    other.balancer.choose(other.group, _small(), (), NOW + 1)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        '{"q":1}',
        '{"q":1,"l":' + "[" * 100_000,
        '{"q":1,"l":{"q:a":[0,1]}}',
        '{"q":1,"l":{"q:a":[0,100000000000001,1]}}',
        '{"q":1,"l":{"q:a":[0,1,1000000001]}}',
        '{"q":1,"l":{"q:a":[0,1.5,1]}}',
        '{"q":1,"l":{"q:a":[0,true,1]}}',
        '{"q":1,"l":{"q:a":[-81,1,1]}}',
        '{"q":1,"l":{"q:a":[80,1,1]}}',
        '{"q":1,"l":{"q:a":[-1000000,1,1]}}',
        '{"q":1,"l":{"q:a":[' + "9" * 400 + ",1,1]}}",
        '{"q":1,"l":{"' + "k" * 1025 + '":[0,1,1]}}',
    ],
)
def test_a_row_that_cannot_be_one_counts_nothing(text):
    with pytest.raises(ValueError):
        decode(PAGE, Row.read(f"{PAGE:010d}{OTHER}", text).text)


@pytest.mark.parametrize(
    "contents",
    [
        {"l": {"q:a": [0, 10**14, 10**9]}},
        {"l": {"k" * 1024: [0, 1, 1]}},
        {"l": {"q:a": [-80, 1, 1, 79, 1, 1]}},
    ],
    ids=["counts", "a key", "seconds"],
)
def test_a_row_at_the_edge_of_its_bounds_is_read(contents):
    assert contents["l"].keys() == decode(PAGE, row(contents).text).ledgers.keys()


@pytest.mark.parametrize(("count", "taken"), [(20_000, True), (20_001, False), (60_000, False)])
def test_a_row_has_at_most_twenty_thousand_ledgers(count, taken):
    text = '{"q":1,"l":{' + ",".join(f'"{number}":[]' for number in range(count)) + "}}"
    with contextlib.nullcontext() if taken else pytest.raises(ValueError, match="no ledgers"):
        assert count == len(decode(PAGE, Row.read(f"{PAGE:010d}{OTHER}", text).text).ledgers)


def test_a_bad_row_is_counted_and_the_others_of_its_read_are_taken_in():
    one = instance()
    good = Row(PAGE, "cccccc", 1, '{"q":1,"l":{"q:a":[0,7,1]}}')
    one.balancer.merge([row({"l": 5}), good], NOW)
    assert (1, 7) == (one.balancer.unreadable, one.charge("a", NOW))


def test_ledgers_that_only_rows_name_are_bounded_and_end_with_their_window():
    one = instance()
    view = one.balancer._view
    before = len(view._rings)
    one.balancer.merge([row({"l": {f"k:{number}": [0, 1, 1] for number in range(1500)}})], NOW)
    assert before + 1000 == len(view._rings)
    one.balancer.choose(one.group, _small(), (), NOW + 200)
    assert before == len(view._rings)


def test_what_others_counted_for_a_client_who_calls_here_later_is_not_lost():
    one = instance()
    one.balancer.merge([row({"l": {"k:client": [0, 40, 2]}})], NOW)
    ring = one.balancer._view.ring("k:client")
    assert (40, 2) == (ring.tokens, ring.requests)


@given(st.one_of(st.none(), st.text(), st.lists(scalars).map(json.dumps), values.map(json.dumps)))
@examples(60)
def test_a_strict_row_of_any_text_is_replaced_and_its_cap_holds(text):
    need = StrictNeed("cap", 2, None, 1)
    now, passed = NOW, 0
    for _ in range(20):
        text, (wait,) = reserve_all(text, [need], now)
        passed += wait is None
    assert passed <= 2
    assert isinstance(settle_all(text, [(now, 1, 0)], now), str)


@pytest.mark.parametrize("text", ["[" * 50_000, "[1" + ",1" * 60_000 + "]", "[0," + "9" * 400 + ",1,1]"])
def test_a_strict_row_that_is_too_large_or_deep_is_an_empty_one(text):
    need = StrictNeed("cap", 1, None, 1)
    text, first = reserve_all(text, [need], NOW)
    _, second = reserve_all(text, [need], NOW)
    assert [None] == first
    assert second[0] is not None


@pytest.mark.parametrize(
    ("size", "tokens", "counts"),
    [
        (65_536, 10**12 - 1, True),
        (65_537, 10**12 - 1, False),
        (100, 10**12, False),
        (1_000_000, 10**400, False),
    ],
    ids=["at the edge", "longer", "more tokens", "far beyond"],
)
def test_a_strict_row_is_believed_up_to_its_bounds(size, tokens, counts):
    need = StrictNeed("cap", 1, None, 1)
    text, _ = reserve_all(None, [need], NOW)
    text = text.replace(",1,1]", f",{tokens},1]")
    _, (wait,) = reserve_all(text + " " * (size - len(text)), [need], NOW)
    assert counts == (wait is not None)


def _small():
    from gateway.limits.tokens.estimate import Estimate

    return Estimate(1, 0)
