"""What is held of a head that is not whole, and when it is handed on."""

from __future__ import annotations

import pytest

from gateway.server.heads import HeldBytes

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n\r\n"


def held(*pieces):
    found = HeldBytes()
    for piece in pieces:
        found.add(piece)
    return found


def taken(found):
    """What is handed on now."""
    parts = []
    while found and (part := found.take_head()):
        parts.append(part)
    return parts


def test_a_whole_head_is_handed_on_as_one_and_what_is_behind_it_by_itself():
    found = held(HEAD + HEAD + b"GET")

    assert HEAD == found.take_head()
    assert HEAD == found.take_head()
    assert 3 == len(found)


def test_half_a_head_is_held_but_for_its_request_line():
    found = held(HEAD[:-2])

    assert ([b"GET / HTTP/1.1"], len(HEAD) - 16) == (taken(found), len(found))
    found.add(b"\r\n")
    assert [b"\r\nhost: a\r\nx: 1\r\n\r\n"] == taken(found)


def test_what_may_be_no_http_is_handed_on_at_once():
    assert [b"\x16\x03\x01 no line ends here"] == taken(held(b"\x16\x03\x01 no line ends here"))


def test_blank_lines_before_a_head_are_handed_on_at_once():
    assert [b"\r\n\r\n\r", b"GET"] == taken(held(b"\r\n\r\n\rGET"))


@pytest.mark.parametrize("request_head", [HEAD, b"\r\n" + HEAD, b"GET / HTTP/1.1\nhost: a\n\n"])
def test_wherever_a_head_is_split_all_of_it_is_handed_on_once_it_is_whole(request_head):
    for first in range(len(request_head)):
        for second in range(first, len(request_head)):
            found, handed = HeldBytes(), b""
            for piece in (request_head[:first], request_head[first:second], request_head[second:]):
                found.add(piece)
                handed += b"".join(taken(found))

            assert (request_head, 0) == (handed, len(found))


def test_bytes_come_out_as_they_went_in():
    found = held(b"ab", b"cd", b"ef")

    assert [b"abc", b"def", b""] == [found.take(3), found.take(3), found.take(3)]
