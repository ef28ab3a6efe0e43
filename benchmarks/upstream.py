"""The upstream of all measurements: canned replies on a bare asyncio.Protocol.

    python -m benchmarks.upstream

Prints its port. Looks at a request just enough to tell a stream from a whole reply, because it must be far
cheaper than what is measured.
"""

from __future__ import annotations

import asyncio
import re

from benchmarks.traffic import PAUSE, chat_reply, stream_parts

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')


class Replies:
    """All replies, ready to be sent."""

    def __init__(self) -> None:
        self.chat = chat_reply()
        self.stream = stream_parts(usage=False)
        self.stream_with_usage = stream_parts(usage=True)


class Connection(asyncio.Protocol):
    """One connection; a request on it begins after the reply to the one before."""

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.received = b""
        self.transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]  # TCP's are of this kind

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop streaming."""
        del exc
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer when the request is complete."""
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        declared = _LENGTH.search(self.received, 0, end)
        if end < 0 or declared is None or len(self.received) < end + 4 + int(declared[1]):
            return
        received, self.received = self.received, b""
        if not _STREAM.search(received, end):
            self.transport.write(self.replies.chat)
            return
        wants_usage = b'"include_usage"' in received
        parts = self.replies.stream_with_usage if wants_usage else self.replies.stream
        self.send(parts, 0, self.loop.time())

    def send(self, parts: list[bytes], index: int, due: float) -> None:
        """Send one part of a stream; the next is due a pause after this one was."""
        self.transport.write(parts[index])
        if index + 1 < len(parts):
            self.timer = self.loop.call_at(due + PAUSE, self.send, parts, index + 1, due + PAUSE)


async def serve() -> None:
    """Serve until killed."""
    replies = Replies()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(replies), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
