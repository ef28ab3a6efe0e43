"""Values as annotations say: strict types, all that is wrong, and where."""

import math
from typing import Annotated, Any

import pytest

from gateway.config.annotations import Before, reader
from gateway.config.values import LimitValue, Weight

TEXT = "must be text; put it in quotes"
WHOLE = "must be a whole number; write it without quotes"
NUMBER = "must be a number; write it without quotes"
BOOLEAN = "must be true or false; write it without quotes"
MAPPING = "must be a mapping of keys to values"
LIST = "must be a list"

#: No float is as large.
HUGE = 10**400


def read(annotation, value):
    wrong = {}
    found = reader(annotation)(value, ("key",), wrong)
    return wrong or found


def odd(number):
    if number % 2 == 0:
        raise ValueError("must be odd")
    return number


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "text"),
        (int, 7),
        pytest.param(int, HUGE, id="int-huge"),
        (float, 1.5),
        (bool, False),
        (str | None, None),
        (int | None, 7),
        (Any, object),
        (list[Any], [1, "a"]),
        (dict[str, Any], {"a": 1}),
        (dict[str, list[int]], {"a": [1, 2], "b": []}),
        (Annotated[int, odd] | None, 7),
        (Annotated[int, odd] | None, None),
    ],
)
def test_a_value_of_the_type_stays(annotation, value):
    assert value == read(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (str, 7, TEXT),
        (str, b"text", TEXT),
        (str, None, TEXT),
        (int, "7", WHOLE),
        (int, 7.0, WHOLE),
        (int, True, WHOLE),
        (int | None, "", WHOLE),
        (float, "1.5", NUMBER),
        (float, True, NUMBER),
        pytest.param(float, HUGE, NUMBER, id="float-huge"),
        pytest.param(float, -HUGE, NUMBER, id="float-huge-negative"),
        (bool, 1, BOOLEAN),
        (bool, "true", BOOLEAN),
        (dict[str, Any], [], MAPPING),
        (list[Any], (1, 2), LIST),
        (list[str], "text", LIST),
    ],
)
def test_a_value_of_another_type_is_refused(annotation, value, text):
    assert {("key",): text} == read(annotation, value)


def test_whole_numbers_are_numbers():
    found = read(float | None, 3)

    assert (3.0, float) == (found, type(found))


def test_all_that_is_wrong_in_a_value_is_found_where_it_stands():
    annotation = list[dict[str, list[Annotated[int, odd]]]]

    assert {
        ("key", 0, "a", 1): WHOLE,
        ("key", 0, "a", 2): "must be odd",
        ("key", 0, 5, "[key]"): TEXT,
        ("key", 0, "None", "[key]"): TEXT,
        ("key", 0, "None"): LIST,
        ("key", 2): MAPPING,
    } == read(annotation, [{"a": [1, "2", 4], 5: [3], None: 6}, {}, 7])


def test_a_value_may_be_changed_before_its_type_is_looked_at():
    annotation = Annotated[list[int], Before(lambda value: [value] if isinstance(value, int) else value), len]

    assert [1, 2, {("key",): LIST}] == [read(annotation, 7), read(annotation, [7, 8]), read(annotation, "7")]


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (LimitValue, 0, "must be greater than 0"),
        pytest.param(LimitValue, -HUGE, "must be greater than 0", id="limit-huge-negative"),
        (LimitValue, 10**12 + 1, "must be at most 1000000000000"),
        pytest.param(LimitValue, HUGE, "must be at most 1000000000000", id="limit-huge"),
        (Weight, -1, "must be at least 0.0"),
        (Weight, 1e13, "must be at most 1000000000000.0"),
        (Weight, math.nan, "must be a finite number"),
        (Weight, -math.inf, "must be a finite number"),
    ],
)
def test_a_number_has_bounds(annotation, value, text):
    assert {("key",): text} == read(annotation, value)
