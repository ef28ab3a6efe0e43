"""Putting an answer on the wire, undisturbed or as a fault wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from simulator.errors import server_error
from simulator.faults import Cut, Fault
from simulator.reply import Reply
from simulator.wire import LAST_CHUNK, Exchange, chunk

#: Pieces in which a slow head is sent.
HEAD_PIECES = 10
#: Seconds that what was written gets to reach the reader before RST throws away the rest.
RESET_GRACE_S = 0.05


async def deliver(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    """Send the whole answer, or what the fault lets through of it."""
    delay = reply.delay_s + fault.delay_s
    if delay:
        await asyncio.sleep(delay)
    ends_early = fault.cut is not None and fault.cut.how == "end"
    headers = reply.headers
    if reply.body is not None and not ends_early and not has_framing(headers):
        headers = [*headers, ("Content-Length", str(len(reply.body)))]
    head = exchange.head(reply.status, headers, reason=reply.reason)
    if fault.slow_headers_s:
        size = -(-len(head) // HEAD_PIECES)
        for start in range(0, len(head), size):
            exchange.write(head[start : start + size])
            await asyncio.sleep(fault.slow_headers_s / HEAD_PIECES)
    elif reply.body is not None and fault.cut is None and not fault.write_size and not is_chunked(headers):
        exchange.write(head + reply.body)
        exchange.finish()
        return
    else:
        exchange.write(head)
    if reply.body is None:
        await send_parts(exchange, reply, fault)
    else:
        await send_body(exchange, reply.body, fault, chunked=ends_early or is_chunked(headers))


async def send_body(exchange: Exchange, body: bytes, fault: Fault, *, chunked: bool) -> None:
    """Send a whole body, or its first bytes."""
    cut = fault.cut
    if cut is not None and cut.after < len(body):
        await emit(exchange, body[: cut.after], fault.write_size, chunked=chunked)
        await break_off(exchange, cut)
        return
    await emit(exchange, body, fault.write_size, chunked=chunked)
    if chunked:
        exchange.write(LAST_CHUNK)
    exchange.finish()


async def send_parts(exchange: Exchange, reply: Reply, fault: Fault) -> None:
    """Send a stream's parts with their pauses."""
    held: list[bytes] = []
    for index, (pause, data) in enumerate(reply.parts):
        if fault.cut is not None and index == fault.cut.after:
            await emit(exchange, b"".join(held), fault.write_size)
            await break_off(exchange, fault.cut)
            return
        if index == fault.error_event_after:
            error = b"data: %b\n\n" % server_error().body
            await emit(exchange, framed([*held, error], fault), fault.write_size)
            exchange.write(LAST_CHUNK)
            exchange.finish()
            return
        if pause:
            await asyncio.sleep(pause)
        held.append(framed([data], fault) if reply.events else data)
        if len(held) == fault.glue:
            await emit(exchange, b"".join(held), fault.write_size)
            held = []
    await emit(exchange, b"".join(held), fault.write_size)
    exchange.write(LAST_CHUNK)
    exchange.finish()


def framed(events: Iterable[bytes], fault: Fault) -> bytes:
    """Events with the line ends that the fault wants."""
    data = b"".join(events)
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if fault.crlf else data


async def emit(exchange: Exchange, data: bytes, write_size: int, *, chunked: bool = True) -> None:
    """Write bytes, in pieces of `write_size` if that is not 0, while the client reads them."""
    size = write_size or max(1, len(data))
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        exchange.write(chunk(piece) if chunked else piece)
        if write_size:
            # Each piece leaves as its own segment, and the reader gets a turn.
            await asyncio.sleep(0)
    await exchange.drain()


async def break_off(exchange: Exchange, cut: Cut) -> None:
    """End the answer where it is, in the cut's way."""
    if cut.how == "stall":
        # The client's leaving cancels this.
        await asyncio.Event().wait()
    if cut.how == "reset":
        await asyncio.sleep(RESET_GRACE_S)
        exchange.reset()
    elif cut.how == "eof":
        exchange.close()
    else:
        exchange.write(LAST_CHUNK)
        exchange.finish()


def has_framing(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether the headers already say how long the body is."""
    return any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers)


def is_chunked(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether the headers announce a chunked body."""
    return any(name.lower() == "transfer-encoding" for name, _ in headers)
