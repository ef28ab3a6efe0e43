"""What the embedded host writes of an application's reply, on a real socket."""

import asyncio
import os
import socket

import pytest
from support.calls import PATIENCE, head
from support.loops import LOOPS, runner

from gateway.server.connection_table import ConnectionTable
from gateway.server.http_server import HttpServer
from gateway.server.pace import Pace

pytestmark = pytest.mark.system


def start(*headers):
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def piece(body, *, more=False):
    return {"type": "http.response.body", "body": body, "more_body": more}


async def hello(scope, receive, send):
    """Reads the whole body, and answers."""
    while (await receive())["more_body"]:
        pass
    await send(start())
    await send(piece(b"hello"))


def replied(*messages, request=None):
    """All that a client reads where an application sends `messages`."""

    async def app(scope, receive, send):
        del scope
        await receive()
        for message in messages:
            await send(message)

    async def talk():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(HttpServer(app, ConnectionTable(10, loop)), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request or head("GET", "/", "connection: close"))
        data = await reader.read()
        writer.close()
        server.close()
        return data

    return asyncio.run(talk())


@pytest.mark.parametrize("loop", LOOPS)
def test_others_have_their_turn_between_the_pieces_of_a_body_in_small_chunks(loop):
    """200 uploads in chunks of two bytes kept others waiting for 12 s."""
    turns, pieces, total, owed = 0, 0, 0, []

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def app(scope, receive, send):
        nonlocal pieces, total
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            total += len(message["body"])
            pieces += 1
        await send(start())
        await send(piece(b"hello"))

    async def upload():
        running = asyncio.get_running_loop()
        table = ConnectionTable(10, running)
        wait = table.small_chunks.wait
        table.small_chunks.wait = lambda now: owed.append(turns) or wait(now)
        server = await running.create_server(HttpServer(app, table), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        task = asyncio.create_task(others())
        lines = head("POST", "/", "transfer-encoding: chunked", "connection: close")
        writer.write(lines + b"2\r\nab\r\n" * 5000 + b"0\r\n\r\n")
        await reader.read()
        task.cancel()
        writer.close()
        server.close()

    runner(loop)(upload())

    assert 10_000 == total
    # No two waits begin in one turn: others had theirs in between.
    assert 2 < len(owed) == len(set(owed))
    # Behind the last piece there is nothing to wait for, nor behind one that is all that has come so far.
    assert pieces - 1 < 1.5 * len(owed)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("framing", "body", "paced"),
    [
        ("transfer-encoding: chunked", b"2\r\nab\r\n" * 5000 + b"0\r\n\r\n", True),
        ("transfer-encoding: chunked", (b"40\r\n" + b"a" * 64 + b"\r\n") * 5000 + b"0\r\n\r\n", False),
        ("transfer-encoding: chunked", b"2\r\nab\r\n" * 100 + b"0\r\n\r\n", False),
        ("content-length: 200000", b"a" * 200_000, False),
    ],
    ids=["chunks of two bytes", "chunks of 64 bytes", "few chunks", "no chunks"],
)
def test_only_bodies_in_very_small_chunks_wait_for_each_other(framing, body, paced, loop):
    waits = []

    async def upload():
        running = asyncio.get_running_loop()
        table = ConnectionTable(10, running)
        table.small_chunks.wait = lambda now: waits.append(now) or 0.0
        server = await running.create_server(HttpServer(hello, table), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(head("POST", "/", framing, "connection: close") + body)
        reply = await reader.read()
        writer.close()
        server.close()
        return reply

    assert runner(loop)(upload()).endswith(b"hello")
    assert paced == bool(waits)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("pace", "request_bytes"),
    [
        ("small_chunks", head("POST", "/", "transfer-encoding: chunked") + b"2\r\nab\r\n" * 600),
        ("pipelined", head("GET", "/") * 2),
    ],
    ids=["a body in small chunks", "pipelined requests"],
)
def test_who_leaves_before_its_turn_keeps_it_from_nobody(pace, request_bytes, loop):
    async def come_and_leave():
        running = asyncio.get_running_loop()
        table = ConnectionTable(10, running)
        turns = Pace(1000)
        setattr(table, pace, turns)

        async def next_wait(low, high):
            while True:
                wait = turns.wait(running.time())
                turns.give_back()
                if low <= wait <= high:
                    return
                await asyncio.sleep(0.01)

        server = await running.create_server(HttpServer(hello, table), "127.0.0.1", 0)
        clients = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(10)]
        for _, writer in clients:
            writer.write(request_bytes)
        async with asyncio.timeout(PATIENCE):
            await next_wait(9000, 10_000)
            for _, writer in clients:
                writer.close()
            await next_wait(0, 1000)
        server.close()

    runner(loop)(come_and_leave())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reply_does_not_wait_until_the_client_has_acknowledged_the_one_before(loop):
    """Nagle's algorithm is off: it would cost each the 40 ms by which the kernel delays an acknowledgement."""
    made = []

    async def app(scope, receive, send):
        await send(start())
        await send(piece(b"hello"))

    async def without_delay():
        running = asyncio.get_running_loop()
        http = HttpServer(app, ConnectionTable(10, running))
        server = await running.create_server(lambda: made.append(http()) or made[-1], "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(head("GET", "/"))
        assert await reader.readuntil(b"hello")
        number = os.dup(made[0].transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=number) as accepted:
            chosen = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        server.close()
        return chosen

    assert 0 != runner(loop)(without_delay())


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b=c", b"a\nb", b"a\rb", b"a\0b"])
@pytest.mark.parametrize("at", ["name", "value"])
def test_a_header_with_a_line_break_is_never_sent(value, at):
    data = replied(start((value, b"x") if at == "name" else (b"x-value", value)), piece(b"hello"))

    assert data.startswith(b"HTTP/1.1 500 ")
    assert b'"internal_error"' in data
    assert b"hello" not in data


def test_a_reply_longer_than_its_length_is_cut_and_a_shorter_one_broken_off():
    for body in (b"hello, and more", b"he"):
        data = replied(start((b"Content-Length", b"5")), piece(body), request=head("GET", "/"))

        assert data.endswith(b"\r\n\r\n" + body[:5])


def test_a_whole_reply_gets_a_length_and_a_stream_chunks():
    whole = replied(start((b"x-one", b"1")), piece(b"hello"))
    stream = replied(
        start(), piece(b"", more=True), piece(b"hello", more=True), piece(b"!", more=True), piece(b"")
    )

    assert whole.endswith(b"\r\n\r\nhello")
    assert (1, 1, 0) == tuple(whole.count(each) for each in (b"content-length: 5", b"x-one: 1", b"chunked"))
    assert stream.endswith(b"\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
    assert (0, 1) == tuple(stream.count(each) for each in (b"content-length", b"transfer-encoding: chunked"))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_reply_to_head_has_the_head_only(method):
    data = replied(start(), piece(b"hello"), request=head(method, "/", "connection: close"))

    assert (method == "GET") is data.endswith(b"hello")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("loop", LOOPS)
def test_of_a_body_that_nobody_reads_only_the_beginning_is_taken(loop):
    async def talk():
        taken = asyncio.Event()
        bodies = []

        async def app(scope, receive, send):
            del scope, send
            bodies.append(receive.__self__.content)
            await taken.wait()

        running = asyncio.get_running_loop()
        server = await running.create_server(HttpServer(app, ConnectionTable(10, running)), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(head("POST", "/", "content-length: 50000000"))
        for _ in range(500):
            # More than the kernel's buffers on both sides hold.
            writer.write(b"a" * 100_000)
            await asyncio.sleep(0)
        found = -1
        while not bodies or found != bodies[0].total_bytes or not found:
            found = bodies[0].total_bytes if bodies else -1
            await asyncio.sleep(0.1)
        taken.set()
        writer.transport.abort()
        server.close()
        return found

    assert 0 < runner(loop)(talk()) <= 131_072
