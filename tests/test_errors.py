"""OpenAI's error shape, and the one table of how a request can end."""

import inspect
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import (
    BadRequest,
    GatewayError,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    RateLimited,
    error_body,
    retry_headers,
    retry_seconds,
)

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, GatewayError) and kind is not GatewayError
}


def test_the_table_in_the_modules_docstring_is_the_classes():
    rows = re.findall(r"^    \*? *x? *(\w+) +(\d{3})  +(.+?)  +(\w+)$", errors.__doc__, re.MULTILINE)
    drawn = {name: (int(status), code, kind) for name, status, code, kind in rows}
    special = {"BadRequest": "(given per case)", "Unauthorized": "invalid_api_key or none"}
    actual = {
        name: (kind.status, special.get(name) or kind.default_code, kind.type)
        for name, kind in CLASSES.items()
    }
    assert actual == drawn


def test_the_table_indents_a_subclass_below_its_base():
    assert re.findall(r"^      x (\w+)", errors.__doc__, re.MULTILINE) == [
        name for name, kind in CLASSES.items() if kind.__base__ is not GatewayError
    ]
    assert NotFound is ModelNotFound.__base__


def test_an_error_has_all_four_keys():
    body = json.loads(error_body(BadRequest("no", code="c", param="p")))
    assert {"error": {"message": "no", "type": "invalid_request_error", "param": "p", "code": "c"}} == body


def test_absent_keys_are_null():
    assert (
        b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
        == error_body(BadRequest("no"))
    )


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"MethodNotAllowed"}))
def test_every_error_has_a_sentence_of_its_own_making(name):
    if issubclass(CLASSES[name], RateLimited):
        error = CLASSES[name]("Wait.", retry_after=2)
        assert [("retry-after", "2"), ("retry-after-ms", "2000")] == error.headers()
    else:
        error = CLASSES[name]()
        assert [] == error.headers()
    assert error.message.endswith((".", "stream"))


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(0, 1), (-5, 1), (0.1, 1), (1, 1), (1.0, 1), (1.001, 2), (59.5, 60), (60, 60), (86_400, 60)],
)
def test_both_retry_headers_agree_between_a_second_and_a_minute(seconds, whole):
    assert [("retry-after", str(whole)), ("retry-after-ms", str(whole * 1000))] == retry_headers(seconds)


def test_a_wait_reaches_the_headers():
    assert retry_headers(7) == errors.RateLimited("slow", retry_after=7).headers()


def test_a_wrong_method_names_the_right_ones():
    assert [("allow", "GET, HEAD")] == MethodNotAllowed("no", allow="GET, HEAD").headers()


@given(st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_a_client_is_told_whole_seconds_of_a_minute_at_most(seconds):
    told = retry_seconds(seconds)

    assert type(told) is int
    assert 1 <= told <= 60
    if seconds is not None and 0 < seconds <= 60:
        assert told >= seconds
