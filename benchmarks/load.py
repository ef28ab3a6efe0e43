"""The load generator: requests made of ready bytes, over kept connections, each reply checked.

It runs in the measuring process itself, on another core than what it measures.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

from benchmarks.traffic import CHUNKS, PAUSE

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM_END = b"data: [DONE]\n\n\r\n0\r\n\r\n"
#: Last bytes of a stream that are kept to be compared with its end.
_TAIL = 64
#: Seconds that a load may take beyond what it should.
PATIENCE = 60.0


@dataclass(slots=True)
class Result:
    """What came of a load. Times in seconds."""

    replies: int = 0
    errors: int = 0
    wall: float = 0.0
    #: CPU time of the load generator.
    cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The latency that `share` of the replies did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Load:
    """One run: `total` requests over `concurrency` connections."""

    def __init__(self, request: bytes, total: int, *, stream_bytes: int) -> None:
        """`stream_bytes` is the least size of a streamed reply; 0 where replies are whole."""
        self.request = request
        self.left = total
        self.stream_bytes = stream_bytes
        self.result = Result()
        self.running = 0
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes | None:
        """What to send next; None when all was sent."""
        if self.left == 0:
            return None
        self.left -= 1
        return self.request


class Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.transport: asyncio.Transport
        self.received = b""
        self.expected = 0
        self.size = 0
        self.sent = 0.0
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = transport  # type: ignore[assignment]  # TCP's are of this kind
        self.load.running += 1
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a reply that will not come any more as an error."""
        del exc
        self.load.result.errors += self.open
        self.load.running -= 1
        if self.load.running == 0 and not self.load.done.done():
            self.load.done.set_result(None)

    def send(self) -> None:
        """Send the next request, or close."""
        request = self.load.next_request()
        self.received = b""
        self.expected = self.size = 0
        self.open = request is not None
        if request is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a reply."""
        if self.load.stream_bytes:
            self.take_stream(data)
            return
        self.received += data
        if not self.expected:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return
            declared = _LENGTH.search(self.received, 0, end)
            self.expected = end + 4 + (int(declared[1]) if declared else 0)
        if len(self.received) >= self.expected:
            whole = len(self.received) == self.expected and self.received.endswith(b"}")
            self.finish(succeeded=whole and self.received.startswith(b"HTTP/1.1 200"))

    def take_stream(self, data: bytes) -> None:
        """Take in a part of a stream, of which only the beginning and the end are looked at."""
        if not self.size:
            self.received = data[:12]
        self.size += len(data)
        tail = self.received[12:] + data[-_TAIL:]
        self.received = self.received[:12] + tail[-_TAIL:]
        if not tail.endswith(b"0\r\n\r\n"):
            return
        whole = tail.endswith(_STREAM_END) and self.size >= self.load.stream_bytes
        self.finish(succeeded=whole and self.received.startswith(b"HTTP/1.1 200"))

    def finish(self, *, succeeded: bool) -> None:
        """Count a complete reply."""
        result = self.load.result
        result.latencies.append(time.perf_counter() - self.sent)
        result.replies += succeeded
        result.errors += not succeeded
        self.send()


def run(port: int, request: bytes, total: int, concurrency: int, *, stream_bytes: int = 0) -> Result:
    """Send `total` requests to a port of this machine, `concurrency` at a time, and wait for the replies.

    Replies must be a 200: whole JSON, or with `stream_bytes` a stream of at least that size with its end.
    Raises TimeoutError when that takes far too long.
    """
    return asyncio.run(_run(port, request, total, concurrency, stream_bytes))


async def _run(port: int, request: bytes, total: int, concurrency: int, stream_bytes: int) -> Result:
    load = Load(request, total, stream_bytes=stream_bytes)
    loop = asyncio.get_running_loop()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(min(concurrency, total)):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
        if stream_bytes:
            # Streams in step would be served in one turn of the event loop or in eight, as chance has it.
            await asyncio.sleep(PAUSE / concurrency)
    async with asyncio.timeout(PATIENCE + total * (CHUNKS * PAUSE if stream_bytes else 0.01) / concurrency):
        await load.done
    load.result.wall = time.perf_counter() - wall
    load.result.cpu = time.process_time() - cpu
    return load.result
