"""Texts from outside in messages and log lines: short, and nothing in them does anything."""

import json

import pytest

from gateway.quoting import LONGEST, logged, shown

ODD = [
    "a\nb",
    "a\r\n{}",
    "tab\there",
    "\x1b[31mred\x1b]0;title\x07",
    "nul\0",
    "line\u2028paragraph\u2029next\x85",
    "right\u202eleft\u2066",
    "\ud800 half",
    "\ufeffmark",
    "\x7f\x80",
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_what_cannot_be_printed_is_escaped(text):
    for piece in (shown(text), logged(text)):
        assert piece.isprintable()
        assert text == json.loads(f'"{piece}"')


@pytest.mark.parametrize("text", ["", "rate_limit_exceeded", "a b", 'quote" and \\', "429"])
def test_what_is_harmless_stays(text):
    assert (text, text) == (shown(text), logged(text))


def test_a_message_keeps_letters_that_a_log_escapes():
    assert ("gpt-größe-世界", r"gpt-gr\xf6\xdfe-\u4e16\u754c") == (
        shown("gpt-größe-世界"),
        logged("gpt-größe-世界"),
    )


@pytest.mark.parametrize("letter", ["x", "\n", "\U0001f600", "世"])
def test_a_long_text_is_cut(letter):
    edge, beyond = letter * LONGEST, letter * 5_000_000

    assert len(logged(edge)) <= LONGEST
    assert LONGEST == len(logged(beyond))
    assert len(shown(beyond)) <= LONGEST + len("...")
    assert shown(beyond).endswith("...")


def test_a_text_at_the_edge_is_whole_and_one_beyond_it_is_not():
    assert "x" * LONGEST == shown("x" * LONGEST)
    assert "x" * LONGEST + "..." == shown("x" * (LONGEST + 1))
