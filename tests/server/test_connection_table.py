"""All connections together: one clock for them, on a clock of the test's."""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
from unittest import mock

import pytest
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway.errors import Overloaded
from gateway.server.connection_table import CROWD, PASSED_OVER_SECONDS, TICK_SECONDS, ConnectionTable
from gateway.server.deadlines import HEAD_SECONDS, IDLE_SECONDS, LINGER_SECONDS, READ_SECONDS
from gateway.server.http_connections import GuardedConnection
from gateway.server.http_requests import HttpRequest
from gateway.server.http_server import HttpHandler, HttpServer
from gateway.server.incoming import MAX_HEAD_BYTES, MAX_PIPELINED_BYTES
from gateway.server.incoming_body import CHUNKED_BYTES

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Loop:
    """An event loop's timers."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []
        self.numbers = itertools.count()

    def time(self):
        return self.now

    def call_later(self, seconds, callback):
        handle = mock.Mock(wraps=callback, cancelled=False)
        handle.cancel = lambda: setattr(handle, "cancelled", True)
        heapq.heappush(self.timers, (self.now + seconds, next(self.numbers), handle))
        return handle

    def pass_on(self, seconds):
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, handle = heapq.heappop(self.timers)
            if not handle.cancelled:
                handle()
        self.now = end


class Transport:
    closed = False
    aborted = False
    stopped = False

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

    def pause_reading(self):
        self.stopped = True

    def resume_reading(self):
        self.stopped = False

    def write_eof(self):
        pass


class Server:
    """Speaks no HTTP."""

    reading_paused = False

    def __init__(self, pipelined):
        self.pipelined = pipelined
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


def opened(table, *, pipelined=False):
    connection = GuardedConnection(table, lambda connection: Server(pipelined))
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
    connection.request_begins(EMPTY_PAYLOAD, None, None)
    connection.request_ends()


def head_begun(connection):
    connection.buffer_updated(1)


def reader_stopped(connection):
    connection.request_begins(EMPTY_PAYLOAD, mock.Mock(), None)
    connection.pause_writing()


def body_left(connection):
    connection.request_begins(StreamReader(mock.Mock(), 1000, loop=mock.Mock()), None, 1000)
    connection.request_ends()


def lingering(connection):
    async def begin():
        task = asyncio.create_task(connection.linger())
        await asyncio.sleep(0)
        # Up to where it waits for the connection's end.
        assert not task.done()

    body_left(connection)
    asyncio.run(begin())


def test_what_comes_of_a_body_behind_its_reply_is_not_handed_on():
    connection = opened(ConnectionTable(10, Loop()))
    body_left(connection)
    connection.buffer_updated(10)
    lingering(connection)
    connection.buffer_updated(100)
    assert 10 == connection._handler.received


def test_what_is_passed_over_on_all_connections_is_read_at_one_pace():
    loop = Loop()
    table = ConnectionTable(10, loop)
    first, second = opened(table), opened(table)
    for connection in (first, second):
        lingering(connection)
        connection.buffer_updated(100)
    assert (False, True) == (first.transport.stopped, second.transport.stopped)

    loop.pass_on(PASSED_OVER_SECONDS)
    assert not second.transport.stopped


def test_who_leaves_before_it_is_read_on_keeps_no_turn():
    loop = Loop()
    table = ConnectionTable(10, loop)

    def passed_over():
        connection = opened(table)
        lingering(connection)
        connection.buffer_updated(100)
        return connection

    connections = [passed_over() for _ in range(10)]
    # The first one waits for nothing, the last one stays.
    for connection in connections[1:-1]:
        connection.connection_lost(None)
    newcomer = passed_over()
    loop.pass_on(1.5 * PASSED_OVER_SECONDS)
    assert newcomer.transport.stopped

    loop.pass_on(PASSED_OVER_SECONDS)
    assert not newcomer.transport.stopped


def receive(connection, data):
    """Bytes come from the network, as many at a time as are read."""
    while data:
        buffer = connection.get_buffer(-1)
        piece, data = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(piece)] = piece
        connection.buffer_updated(len(piece))


@pytest.mark.parametrize("line", [b"a:b\r\n", b"x-header: " + b"v" * 8000 + b"\r\n"], ids=["short", "long"])
def test_half_a_head_is_held_as_it_came_and_not_parsed(line):
    connection = opened(ConnectionTable(10, Loop()))
    line_of_request = b"GET / HTTP/1.1"
    rest = b"\r\n" + line * (60_000 // len(line))
    receive(connection, line_of_request + rest)

    assert (len(line_of_request), len(rest)) == (
        connection._handler.received,
        len(connection._incoming._held),
    )
    connection.connection_lost(None)
    assert 0 == len(connection._incoming._held)


@pytest.mark.parametrize(("size", "refused"), [(MAX_HEAD_BYTES, b""), (MAX_HEAD_BYTES + 1, b"431")])
def test_a_head_that_does_not_end_has_so_many_bytes(size, refused):
    connection = opened(ConnectionTable(10, Loop()))
    receive(connection, b"GET / HTTP/1.1\r\n".ljust(size, b"h"))

    assert refused == fate(connection)[2]


def served(body=EMPTY_PAYLOAD, length=None):
    connection = opened(ConnectionTable(10, Loop()), pipelined=True)
    receive(connection, HEAD)
    connection._handler.pipelined = False
    connection.request_begins(body, mock.Mock(), length)
    return connection


def test_what_comes_behind_a_request_is_held_and_not_parsed_until_it_has_ended():
    connection = served()
    receive(connection, HEAD * 2)
    assert (len(HEAD), 2 * len(HEAD)) == (connection._handler.received, len(connection._incoming._held))

    connection.request_ends()
    connection._handler.pipelined = False
    connection.ready()
    assert 0 == len(connection._incoming._held)


@pytest.mark.parametrize(("size", "stopped"), [(MAX_PIPELINED_BYTES, False), (MAX_PIPELINED_BYTES + 1, True)])
def test_so_much_is_read_behind_a_request_that_is_served(size, stopped):
    connection = served()
    receive(connection, HEAD.ljust(size, b"h"))

    assert stopped == connection.transport.stopped


@pytest.mark.parametrize(("size", "cut"), [(MAX_HEAD_BYTES, False), (MAX_HEAD_BYTES + 1, True)])
def test_a_head_without_end_behind_a_request_that_is_served_has_so_many_bytes(size, cut):
    connection = served()
    receive(connection, b"h" * size)

    assert cut == connection.transport.aborted


def test_what_comes_before_a_request_has_begun_may_be_its_body():
    """A loop may read several times before the server's task has its turn."""
    connection = opened(ConnectionTable(10, Loop()), pipelined=True)
    receive(connection, HEAD)
    connection._handler.pipelined = False
    receive(connection, b"b" * (MAX_HEAD_BYTES + 1))
    assert (True, False) == (connection.transport.stopped, connection.transport.aborted)

    connection.request_begins(StreamReader(mock.Mock(), 1000, loop=mock.Mock()), mock.Mock(), 1_000_000)
    assert (False, 0) == (connection.transport.stopped, len(connection._incoming._held))
    assert len(HEAD) + MAX_HEAD_BYTES + 1 == connection._handler.received


@pytest.mark.parametrize("begun", [True, False], ids=["served meanwhile", "nothing served"])
def test_more_is_read_of_half_a_head_that_came_before_the_server_was_ready(begun):
    """Else a head that was held up at its half would wait for its time to end."""
    connection = opened(ConnectionTable(10, Loop()), pipelined=True)
    receive(connection, HEAD)
    receive(connection, b"GET / HTTP/1.1\r\n".ljust(MAX_PIPELINED_BYTES + 1000, b"h"))
    assert connection.transport.stopped
    if begun:
        connection.request_begins(EMPTY_PAYLOAD, mock.Mock(), None)
        connection.request_ends()
    connection._handler.pipelined = False
    connection.ready()

    assert not connection.transport.stopped


def test_of_a_body_of_known_length_no_byte_more_is_handed_on():
    body = StreamReader(mock.Mock(), 1000, loop=mock.Mock())
    connection = served(body, 10)
    receive(connection, b"b" * 10 + HEAD)

    assert (len(HEAD) + 10, len(HEAD)) == (connection._handler.received, len(connection._incoming._held))


def test_nothing_is_parsed_behind_what_makes_a_body_no_http():
    """Each piece was refused once more: 64 KB of short trailers took 24 ms."""
    connection = served(StreamReader(mock.Mock(), 1000, loop=mock.Mock()))
    connection._handler.refused = lambda body: connection._handler.received > len(HEAD)
    for _ in range(2):
        receive(connection, b"x: y\r\n" * 10_000)

    assert len(HEAD) + CHUNKED_BYTES == connection._handler.received


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nhost: a\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{",
        b"no HTTP\r\n\r\n",
    ],
    ids=["half a head", "half a body", "no HTTP"],
)
def test_a_lost_connection_leaves_nothing_to_the_collector(sent):
    """Else what its server holds stays until a full collection, which a quiet gateway may never make.

    Where many are lost, collecting it makes others wait.
    """

    async def read(scope, receive, send):
        while "http.disconnect" != (await receive())["type"]:
            pass

    async def lose():
        loop = asyncio.get_running_loop()
        connection = HttpServer(read, ConnectionTable(10, loop))()
        connection.connection_made(Transport())
        await asyncio.sleep(0)
        receive(connection, sent)
        await turns()
        assert alive() >= before + 2
        connection.connection_lost(None)
        await turns()

    async def turns():
        for _ in range(20):
            await asyncio.sleep(0)

    def alive():
        kinds = (GuardedConnection, HttpHandler, HttpRequest, StreamReader)
        return sum(type(each) in kinds for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        asyncio.run(lose())

        assert before == alive()
    finally:
        gc.enable()


def test_a_silent_connection_has_no_server_yet():
    """Many may be silent, and an honest one that comes behind them waits until all have been accepted."""

    async def speak():
        server = HttpServer(mock.Mock(), ConnectionTable(10, asyncio.get_running_loop()))
        connection = server()
        connection.connection_made(Transport())
        seen = [len(server.connections)]
        receive(connection, HEAD)
        seen.append(len(server.connections))
        connection.connection_lost(None)
        return seen

    assert [0, 1] == asyncio.run(speak())


@pytest.mark.parametrize(("most", "given_back"), [(CROWD, False), (CROWD + 1, True)])
def test_when_a_crowd_has_left_memory_is_given_back(most, given_back):
    table = ConnectionTable(1000, Loop())
    table._heap = mock.Mock()
    crowd = [opened(table) for _ in range(most)]
    for connection in crowd[most // 2 + 1 :]:
        connection.connection_lost(None)
    assert not table._heap.trim_soon.called
    crowd[0].connection_lost(None)

    assert given_back == table._heap.trim_soon.called


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
