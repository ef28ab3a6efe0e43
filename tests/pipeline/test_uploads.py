"""Bodies are read within bounds: each one's size, all that are held, and the caller's patience."""

import asyncio

import pytest
from support import virtual_time
from support.samples import Caller

from gateway.errors import BadRequest, Overloaded, PayloadTooLarge, UploadTimeout
from gateway.pipeline.uploads import UploadLimits
from gateway.protocol.messages import ClientGone, Request
from gateway.protocol.operations import CHAT


def bodies(max_body=100, max_held=150, upload_timeout=5.0):
    return UploadLimits(max_body=max_body, max_held=max_held, upload_timeout=upload_timeout)


def request(*pieces, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(CHAT, named, Caller(list(pieces)))


def read(hold, *pieces, **headers):
    return asyncio.run(hold.read(request(*pieces, **headers)))


def test_a_body_is_read_whole_and_counted_until_released():
    all_bodies = bodies()
    hold = all_bodies.hold()
    assert b"abcdef" == read(hold, b"abc", b"def")
    assert 6 == all_bodies.held
    hold.release()
    hold.release()
    assert 0 == all_bodies.held


def test_a_body_in_one_piece_is_not_copied():
    piece = b"x" * 50
    assert read(bodies().hold(), piece) is piece


def test_no_body_is_an_empty_one():
    assert b"" == read(bodies().hold())


@pytest.mark.parametrize("size", [100, 101])
def test_the_limit_itself_is_allowed_and_no_byte_more(size):
    if size > 100:
        with pytest.raises(PayloadTooLarge) as caught:
            read(bodies().hold(), b"x" * size)
        assert "The request body is larger than 100 bytes." == caught.value.message
    else:
        assert size == len(read(bodies().hold(), b"x" * size))


def test_a_declared_length_above_the_limit_is_refused_before_anything_is_read():
    class Unread(Caller):
        def chunks(self):
            raise AssertionError("the body was read")

    with pytest.raises(PayloadTooLarge):
        asyncio.run(bodies().hold().read(Request(CHAT, {"content-length": "101"}, Unread())))


def test_reading_ends_with_the_piece_that_exceeds_the_limit():
    taken = []

    class Endless(Caller):
        async def chunks(self):
            while True:
                taken.append(30)
                yield b"x" * 30

    with pytest.raises(PayloadTooLarge):
        asyncio.run(bodies().hold().read(Request(CHAT, {}, Endless())))
    assert 4 == len(taken)


def test_only_bytes_that_have_come_are_held_whatever_was_declared():
    all_bodies = bodies()
    read(all_bodies.hold(), b"x" * 7, content_length="90")
    assert 7 == all_bodies.held


# Python reads numbers of 4,300 digits at most, and a parser of HTTP may pass on any number of zeros.
@pytest.mark.parametrize(
    "value",
    [
        *("x", "", "-1", "1.0", "²", "1, 1"),
        pytest.param("0" * 20 + "1", id="21 digits"),
        pytest.param("0" * 5000 + "1", id="5001 digits"),
    ],
)
def test_a_length_that_is_no_number_is_refused(value):
    with pytest.raises(BadRequest):
        read(bodies().hold(), content_length=value)


def test_all_bodies_together_are_bounded():
    all_bodies = bodies()
    first, second = all_bodies.hold(), all_bodies.hold()
    read(first, b"x" * 100)
    with pytest.raises(Overloaded) as caught:
        read(second, b"x" * 51)
    assert [("retry-after", "1"), ("retry-after-ms", "1000")] == caught.value.headers()
    second.release()
    third = all_bodies.hold()
    assert b"z" * 50 == read(third, b"z" * 50)
    third.release()
    first.release()
    assert 0 == all_bodies.held
    assert b"y" * 51 == read(all_bodies.hold(), b"y" * 51)


def test_what_was_read_before_a_failure_is_given_back():
    all_bodies = bodies()
    hold = all_bodies.hold()
    with pytest.raises(PayloadTooLarge):
        read(hold, b"x" * 60, b"x" * 60)
    assert 60 == all_bodies.held
    hold.release()
    assert 0 == all_bodies.held


def test_a_reservation_that_is_handed_over_survives_its_first_owner():
    all_bodies = bodies()
    hold = all_bodies.hold()
    read(hold, b"x" * 40)
    successor = hold.handed_over()
    hold.release()
    assert 40 == all_bodies.held
    successor.release()
    assert 0 == all_bodies.held


class Slow(Caller):
    def __init__(self, *pauses, piece=b"x"):
        super().__init__()
        self.pauses = pauses
        self.piece = piece

    async def chunks(self):
        for pause in self.pauses:
            await asyncio.sleep(pause)
            yield self.piece


def given_up_after(*pauses, piece=b"x"):
    """Seconds until an upload with a time-out of 30 s is given up; None where it ends."""

    async def seconds():
        hold = bodies(max_body=1 << 20, max_held=1 << 20, upload_timeout=30).hold()
        try:
            await hold.read(Request(CHAT, {}, Slow(*pauses, piece=piece)))
        except UploadTimeout:
            return asyncio.get_running_loop().time()
        return None

    return virtual_time.run(seconds())


def test_a_caller_that_stalls_is_given_up():
    assert 30 == given_up_after(0, 31)


@pytest.mark.parametrize("pause", [0.01, 1, 5])
def test_a_caller_that_trickles_is_given_up_as_soon_as_one_that_stalls(pause):
    """The rate is kept from the first second on: single bytes buy no time worth the name."""
    assert 30 <= given_up_after(*[pause] * int(200 / pause)) < 34


def test_a_caller_that_keeps_the_rate_is_never_given_up():
    assert given_up_after(*[1] * 300, piece=b"x" * 1024) is None


def test_a_caller_slightly_below_the_rate_is_given_up_in_the_end():
    assert 100 < given_up_after(*[1] * 400, piece=b"x" * 768) < 120


def test_a_caller_that_pauses_and_goes_on_is_not_given_up():
    assert given_up_after(0, *([29] + [0.01] * 32) * 5, piece=b"x" * 1024) is None


def test_what_came_fast_buys_no_longer_silence_afterwards():
    assert 30 == round(given_up_after(*[0] * 900, 31, piece=b"x" * 1024))


def test_a_caller_that_leaves_ends_the_read():
    class Gone(Caller):
        async def chunks(self):
            yield b"x"
            raise ClientGone

    with pytest.raises(ClientGone):
        asyncio.run(bodies().hold().read(Request(CHAT, {}, Gone())))
