"""All connections together: one clock for them, on a clock of the test's."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from unittest import mock

import pytest
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway.errors import Overloaded
from gateway.server.connection_table import TICK_SECONDS, ConnectionTable
from gateway.server.http_connections import (
    HEAD_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    READ_SECONDS,
    GuardedConnection,
)


class Loop:
    """An event loop's timers."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []
        self.numbers = itertools.count()

    def time(self):
        return self.now

    def create_future(self):
        return asyncio.Future(loop=mock.Mock(get_debug=lambda: False))

    def call_later(self, seconds, callback):
        heapq.heappush(self.timers, (self.now + seconds, next(self.numbers), callback))
        return callback

    def pass_on(self, seconds):
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, callback = heapq.heappop(self.timers)
            callback()
        self.now = end


class Transport:
    closed = False
    aborted = False

    def get_extra_info(self, name):
        return None

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True

    def write(self, data):
        self.written = data

    def write_eof(self):
        pass


class Server:
    """Speaks no HTTP."""

    def __init__(self):
        self.received = 0

    def data_received(self, data):
        self.received += len(data)

    def refused(self, body):
        return False

    def pause_writing(self):
        pass

    def connection_made(self, transport):
        pass

    def connection_lost(self, exc):
        pass


def opened(table):
    connection = GuardedConnection(table, Server())
    connection.connection_made(Transport())
    return connection


def test_connections_one_after_the_other_have_one_timer_in_all():
    loop = Loop()
    table = ConnectionTable(10, loop)
    for _ in range(100):
        opened(table).connection_lost(None)

    assert 1 == len(loop.timers)
    loop.pass_on(5)
    assert [] == loop.timers


def test_a_connection_that_comes_after_a_long_silence_has_all_of_its_time():
    loop = Loop()
    table = ConnectionTable(10, loop)
    opened(table).connection_lost(None)
    loop.pass_on(10 * HEAD_SECONDS)
    connection = opened(table)

    loop.pass_on(HEAD_SECONDS)
    assert not connection.transport.closed
    loop.pass_on(2)
    assert connection.transport.closed


def used(connection):
    connection.request_begins(EMPTY_PAYLOAD, None)
    connection.request_ends()


def head_begun(connection):
    connection.buffer_updated(1)


def reader_stopped(connection):
    connection.request_begins(EMPTY_PAYLOAD, mock.Mock())
    connection.pause_writing()


def body_left(connection):
    connection.request_begins(StreamReader(mock.Mock(), 1000, loop=mock.Mock()), None)
    connection.request_ends()


def lingering(connection):
    body_left(connection)
    # Up to where it waits for the connection's end.
    with contextlib.suppress(StopIteration):
        connection.linger().send(None)


def test_what_comes_of_a_body_behind_its_reply_is_not_handed_on():
    connection = opened(ConnectionTable(10, Loop()))
    body_left(connection)
    connection.buffer_updated(10)
    lingering(connection)
    connection.buffer_updated(100)
    assert 10 == connection._handler.received


def fate(connection):
    """What became of a connection: its transport's state, and the status of what was written."""
    transport = connection.transport
    return transport.closed, transport.aborted, getattr(transport, "written", b"")[9:12]


@pytest.mark.parametrize(
    ("begin", "seconds", "after"),
    [
        (lambda connection: None, HEAD_SECONDS, (True, False, b"")),
        (used, IDLE_SECONDS, (True, False, b"")),
        (head_begun, HEAD_SECONDS, (False, False, b"408")),
        (body_left, LINGER_SECONDS + TICK_SECONDS, (True, False, b"")),
        (reader_stopped, READ_SECONDS, (False, True, b"")),
        # The last bytes of a reply: of ours, of the server's, and of a refusal on the bare connection.
        (GuardedConnection.close, LINGER_SECONDS, (True, True, b"")),
        (lambda connection: connection.transport.close(), LINGER_SECONDS, (True, True, b"")),
        (lingering, LINGER_SECONDS, (False, True, b"")),
        (lambda connection: connection.refuse(Overloaded()), LINGER_SECONDS, (False, True, b"503")),
    ],
    ids=[
        *("no request", "between requests", "a head", "the rest of a body", "a reader"),
        *("closed here", "closed by the server", "behind a reply", "a refusal"),
    ],
)
def test_a_connection_has_all_of_its_time_and_no_more(begin, seconds, after):
    loop = Loop()
    connection = opened(ConnectionTable(10, loop))
    begin(connection)
    before = fate(connection)
    connection.check(loop.now)

    connection.check(loop.now + seconds)
    assert before == fate(connection)
    connection.check(loop.now + seconds + 0.01)
    assert after == fate(connection)
