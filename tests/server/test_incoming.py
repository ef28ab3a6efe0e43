"""What is read ahead of whoever reads a body, and what waits for whoever does not read a reply."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest
from support.calls import PATIENCE, head
from support.loops import LOOPS, runner

from gateway.server.connection_table import READ_BYTES, ConnectionTable
from gateway.server.http_server import BUFFER_BYTES, HttpServer
from gateway.server.incoming_body import CHUNKED_BYTES

DECLARED = head("POST", "/", "content-length: 1000000")
CHUNKED = head("POST", "/", "transfer-encoding: chunked")
SMALLEST = b"1\r\nx\r\n"


async def reads_nothing(scope, receive, send):
    await asyncio.Event().wait()


async def read_ahead(packet_head, body):
    """Bytes of a body that were found, and whether no more is read, while the application wants none of it."""
    transport = mock.create_autospec(asyncio.Transport, instance=True)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    connection = HttpServer(reads_nothing, ConnectionTable(10, asyncio.get_running_loop()))()
    connection.connection_made(transport)
    for packet in (packet_head, body):
        connection.get_buffer(-1)[: len(packet)] = packet
        connection.buffer_updated(len(packet))
        # The server's task takes the request up.
        for _ in range(3):
            await asyncio.sleep(0)
    found = connection._incoming._body.reader.total_bytes
    connection.connection_lost(None)
    return found, transport.pause_reading.called


@pytest.mark.parametrize(("size", "stopped"), [(2 * BUFFER_BYTES, False), (2 * BUFFER_BYTES + 1, True)])
def test_so_much_of_a_body_is_read_before_anybody_wants_it(size, stopped):
    assert (size, stopped) == asyncio.run(read_ahead(DECLARED, b"x" * size))


@pytest.mark.parametrize(("chunks", "stopped"), [(512, False), (513, True)])
def test_so_many_chunks_of_a_body_are_read_before_anybody_wants_them(chunks, stopped):
    assert (chunks, stopped) == asyncio.run(read_ahead(CHUNKED, SMALLEST * chunks))


def test_of_all_that_was_read_few_chunks_are_parsed_before_anybody_wants_them():
    found, _ = asyncio.run(read_ahead(CHUNKED, SMALLEST * (READ_BYTES // len(SMALLEST))))

    assert 512 < found <= 512 + CHUNKED_BYTES // len(SMALLEST) + 1


@pytest.mark.system
@pytest.mark.parametrize("loop", LOOPS)
def test_so_much_of_a_reply_waits_for_a_client_that_does_not_read(loop):
    """Whoever produces it waits from the first byte above 64 KB on, beside what the kernel takes."""
    connections, waiting = [], []

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            waiting.append(connections[0].transport.get_write_buffer_size())
            await asyncio.sleep(0)

    async def work():
        running = asyncio.get_running_loop()
        served = HttpServer(endless, ConnectionTable(10, running))

        def connected():
            connections.append(served())
            return connections[-1]

        server = await running.create_server(connected, "127.0.0.1", 0)
        client, _ = await running.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        client.pause_reading()
        client.write(head("GET", "/"))
        try:
            async with asyncio.timeout(PATIENCE):
                while not connections or (size := connections[0].transport.get_write_buffer_size()) <= 65536:
                    await asyncio.sleep(0)
            return size
        finally:
            client.abort()
            connections[0].transport.abort()
            server.close()

    most = runner(loop)(work())
    assert 65536 < most <= 65536 + 1024
    assert 64000 < max(waiting) <= 65536
