from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.ledger import rows
from gateway.limits.ledger.rows import Row

PAGE = 100_000_000

series = st.dictionaries(
    st.integers(PAGE * 10 - 80, PAGE * 10 + 9),
    st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=2),
    max_size=8,
)


@given(st.dictionaries(st.text(max_size=8), series, max_size=5), st.integers(0, 10**9))
def test_a_row_holds_what_was_put_in(changes, seq):
    text = rows.encode(PAGE, seq, changes, {"m": {"d": [1]}})
    contents = rows.decode(PAGE, text)
    expected = {
        key: {second: cell for second, cell in each.items() if any(cell)} for key, each in changes.items()
    }

    assert {key: each for key, each in expected.items() if each} == rows.summed([(contents.ledgers, 1)])
    assert {"d": [1]} == contents.notes["m"]
    assert text.isascii()


def test_a_row_is_known_by_page_and_instance():
    row = Row(PAGE, "abc123", 7, '{"q":7,"l":{}}')

    assert "0100000000abc123" == row.key
    assert row == Row.read(row.key, row.text)


def test_keys_sort_by_time():
    assert Row(9, "zzzzzz", 1, "").key < Row(10, "aaaaaa", 1, "").key


@pytest.mark.parametrize("key", ["", "sum", "0100000000", "0100000000ABCDEF", "0100000000abc123\n"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match="key"):
        Row.read(key, '{"q":1,"l":{}}')


@pytest.mark.parametrize(
    "ledgers",
    [
        None,
        [],
        {"a": 1},
        {"a": [1]},
        {"a": [1, 2, "3"]},
        {"a": [1, 2, 3.5]},
        {"a": [True, 1, 1]},
        {"a": [0, 1 << 60, 1]},
        {"a": [-81, 1, 1]},
        {"a": [80, 1, 1]},
    ],
)
def test_damaged_ledgers_are_refused(ledgers):
    with pytest.raises(ValueError):
        rows.decode(PAGE, json.dumps({"q": 1, "l": ledgers}))


@given(st.text(max_size=40))
def test_any_text_is_decoded_or_refused(text):
    try:
        rows.decode(PAGE, text)
    except ValueError:
        return
