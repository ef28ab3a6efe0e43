"""All connections together: one clock for them, on a clock of the test's."""

from __future__ import annotations

import heapq
import itertools

from gateway.server.connection_table import ConnectionTable
from gateway.server.http_connections import HEAD_SECONDS, GuardedConnection


class Loop:
    """An event loop's timers."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []
        self.numbers = itertools.count()

    def time(self):
        return self.now

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

    def get_extra_info(self, name):
        return None

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True


class Server:
    """Speaks no HTTP."""

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
