"""An upstream on a real socket that does, request by request, what a script says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct

NO_END = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


#: A chat reply, completion or list of embeddings, as far as it must be one to be an answer.
ANSWER = b'{"choices":[{"index":0}],"data":[{"index":0}]}'


def reply(status=200, body=ANSWER, **headers):
    """A whole reply with a length; underscores in header names stand for dashes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n{head}\r\n".encode() + content


def chunk(data):
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream(*events):
    """A whole event stream, one chunk for each event."""
    return NO_END + b"".join(chunk(event) for event in events) + b"0\r\n\r\n"


def reset(writer):
    """Close the connection by RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then(data, *more):
    """A step that writes `data`, then does `more`: "reset", "close", "hang", seconds to sleep, or bytes."""

    async def step(writer):
        for part in (data, *more):
            if part == "reset":
                await asyncio.sleep(0.02)
                reset(writer)
            elif part == "close":
                writer.close()
            elif part == "hang":
                await asyncio.sleep(3600)
            elif isinstance(part, float):
                await asyncio.sleep(part)
            else:
                writer.write(part)
                await writer.drain()

    return step


HANG = then(b"", "hang")
RESET = then(b"", "reset")


@contextlib.asynccontextmanager
async def listening(handle, **options):
    """The port of a server whose connections `handle(reader, writer)` serves; all are closed in the end."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await handle(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Scripted:
    """The n-th request gets the n-th step of the script, every further one the last step."""

    def __init__(self, *script, reset_at_once=False):
        self.script = script
        self.reset_at_once = reset_at_once
        self.connections = 0
        #: (head, body) of every request.
        self.requests = []
        #: How many connections the client closed.
        self.left = 0

    @property
    def count(self):
        return len(self.requests)

    async def __aenter__(self):
        self._listening = listening(self._serve)
        self.url = f"http://127.0.0.1:{await self._listening.__aenter__()}"
        return self

    async def __aexit__(self, *details):
        await self._listening.__aexit__(*details)

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            if self.reset_at_once:
                reset(writer)
            while not writer.is_closing():
                await self._exchange(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left += 1

    async def _exchange(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        body = await reader.readexactly(int(lines.get(b"content-length", 0)))
        self.requests.append((head, body))
        step = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            return
        doing = asyncio.ensure_future(step(writer))
        watching = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not writer.is_closing():
                raise ConnectionResetError
            await doing
        finally:
            for task in (doing, watching):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task
