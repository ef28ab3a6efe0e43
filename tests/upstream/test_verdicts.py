"""Whose fault a reply is, and when upstream wants to be asked again."""

import pytest

from gateway.limits.tokens.outcome import Result
from gateway.upstream.verdicts import error_code, judge, retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
NOT_THERE = b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}'
NO_MODEL = b'{"error":{"code":"model_not_found","message":"The model `x` does not exist"}}'
NO_PATH = b'{"error":{"code":"404","message": "Resource not found"}}'
VERSION = b'{"error":{"code":"BadRequest","message":"API version not supported"}}'


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b"", Result.SUCCESS),
        (201, b"", Result.SUCCESS),
        (301, b"", Result.FAILED),
        (307, b"", Result.FAILED),
        (400, b"{}", Result.CALLER),
        (400, VERSION, Result.OPERATION),
        (401, b"", Result.OPERATOR),
        (403, b"", Result.OPERATOR),
        (404, NOT_THERE, Result.OPERATOR),
        (404, NO_MODEL, Result.OPERATOR),
        (404, NO_PATH, Result.OPERATION),
        (404, b"<html>", Result.OPERATION),
        (408, b"", Result.FAILED),
        (409, b"", Result.CALLER),
        (413, b"", Result.CALLER),
        (422, VERSION, Result.CALLER),
        (424, b"", Result.CALLER),
        (429, VERSION, Result.LIMITED),
        (500, b"", Result.FAILED),
        (502, b"", Result.FAILED),
        (503, b"", Result.FAILED),
        (504, b"", Result.FAILED),
        (529, b"", Result.FAILED),
    ],
)
def test_each_status_has_its_result(status, body, result):
    assert result is judge(status, body)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:00 GMT"}, None),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:00 GMT"}, None),
        ({"retry-after-ms": "1200"}, 1.2),
        ({"x-ms-retry-after-ms": "300"}, 0.3),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1),
        ({"retry-after-ms": "4380", "retry-after": "5"}, 4.38),
        ({"retry-after-ms": "4380", "retry-after": "6"}, 6),
        ({"retry-after-ms": "5000", "retry-after": "5"}, 5),
        ({"x-ms-retry-after-ms": "320", "retry-after": "1"}, 0.32),
        ({"retry-after-ms": "9000", "retry-after": "1", "x-ms-retry-after-ms": "100"}, 9),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_the_longest_wait_of_the_headers_counts_to_the_millisecond(headers, seconds):
    assert seconds == retry_after(headers, b"", NOW)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b"Please retry after 26 seconds. To increase", 26),
        (b"please RETRY AFTER 1 second", 1),
        (b"Please retry after 350 milliseconds.", 0.35),
        (b"Please retry after 0 seconds.", None),
        (b"Please retry after 4.5 seconds.", 4.5),
        (b"Please try again in 21s. Visit", 21),
        (b"Please try again in 1.2s.", 1.2),
        (b"Please try again in 120ms.", 0.12),
        (b"Please try again in 6m0s.", 360),
        (b"Please try again in 1h2m3.5s.", 3723.5),
        (b"Please try again in 2m", 120),
        (b"Please try again in 5 seconds.", 5),
        (b"Please try again in 0s.", None),
        (b"Please try again in a while, or try again in 3s", 3),
        (b"try again in 5 minutes", None),
        (b"try again in 1.5m", None),
        (b"try again in 5sheep", None),
        (b"try again in 5", None),
        (b"try again in -5s", None),
        (b"try again in " + b"1" * 100_000 + b"s", None),
        (b"Please retry later", None),
    ],
)
def test_the_messages_words_count_where_no_header_does(body, seconds):
    assert pytest.approx(seconds) == retry_after({}, body, NOW)
    assert retry_after({"retry-after": "0"}, body, NOW) == retry_after({}, body, NOW)
    assert 5 == retry_after({"retry-after": "5"}, body, NOW)


def test_a_number_in_a_message_that_is_absurd_says_nothing():
    assert retry_after({}, b"retry after " + b"9" * 5000 + b" seconds", NOW) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":{"code":"429"}}', "429"),
        (b'{"error":{"code":429}}', None),
        (b'{"error":{}}', None),
        (b'{"error":"x"}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 200_000, None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_code_of_an_error_is_read_where_there_is_one(body, code):
    assert code == error_code(body)
