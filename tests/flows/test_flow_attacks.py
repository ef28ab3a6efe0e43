"""All kinds of hostile callers at once, beside honest ones: these are answered, and nothing stays behind.

    .venv/bin/python -m pytest tests/flows/test_flow_attacks.py -m soak -s

runs the long form: ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from support.calls import MESSAGES, PATIENCE, head, post, wait_for
from support.gateways import start_gateway
from support.upstream import gateway_config

MEGABYTE = 1 << 20

#: Bytes that memory may grow by while attacks go on, and by which it may differ afterwards.
GROWTH, REMAINS = 200_000_000, 20_000_000


def body(values):
    return post("/v1/chat/completions", values)


OBJECTS = body(b'{"model":"gpt-4o","x":[' + b"{}," * (6 * MEGABYTE) + b"{}]}")
EMOJI = body(b'{"model":"gpt-4o","x":"' + "\U0001f600".encode() * MEGABYTE + b'","messages":5}')
DEEP = body(b'{"model":"gpt-4o","x":' + b"[" * MEGABYTE)
NAME = body({"model": "m" * MEGABYTE, "messages": MESSAGES})
WRONG = "sk-wrong"
CHUNKED = head("POST", "/v1/chat/completions", "transfer-encoding: chunked", key=WRONG)


async def spoken(port, *pieces, read=True, pause=0.0, seconds=5.0):
    """Send pieces on a connection of its own, and read what comes, until either side has had enough."""
    with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                while read and await reader.read(65536):
                    pass
                if not read:
                    await asyncio.sleep(seconds)
            finally:
                writer.transport.abort()


#: Each is one attack; as many run at a time as its number says.
ATTACKS = {
    "says nothing": (40, lambda port: spoken(port, seconds=3)),
    "half a head": (
        20,
        lambda port: spoken(port, b"POST /v1/chat/completions HTTP/1.1\r\nho", read=False, seconds=3),
    ),
    "blank lines": (5, lambda port: spoken(port, *[b"\r\n"] * 20, pause=0.1, read=False, seconds=3)),
    "trailers without end": (
        2,
        lambda port: spoken(port, CHUNKED, b"0\r\n", *[b"x: y\r\n" * 5000] * 40, seconds=3),
    ),
    "pipelines and reads nothing": (
        2,
        lambda port: spoken(
            port, *[b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 500] * 20, read=False, seconds=2
        ),
    ),
    "reads nothing of a stream": (
        5,
        lambda port: spoken(
            port, body({"model": "long", "messages": MESSAGES, "stream": True}), read=False, seconds=3
        ),
    ),
    "leaves": (
        3,
        lambda port: spoken(port, body({"model": "slow", "messages": MESSAGES}), read=False, seconds=0.2),
    ),
    "promises a body": (
        10,
        lambda port: spoken(
            port,
            (head("POST", "/v1/chat/completions", "content-length: 90000000")),
            b"{",
            read=False,
            seconds=3,
        ),
    ),
    "a body byte by byte": (
        5,
        lambda port: spoken(
            port,
            (head("POST", "/v1/chat/completions", "content-length: 900")),
            *[b" "] * 20,
            pause=0.1,
            seconds=3,
        ),
    ),
    "millions of values": (1, lambda port: spoken(port, OBJECTS)),
    "emoji": (1, lambda port: spoken(port, EMOJI)),
    "brackets": (1, lambda port: spoken(port, DEEP)),
    "a model's name of a megabyte": (1, lambda port: spoken(port, NAME)),
    "wrong keys": (
        2,
        lambda port: spoken(
            port, head("POST", "/v1/chat/completions", "content-length: 2", key=WRONG), b"{}", seconds=0.5
        ),
    ),
}


async def honest(port, latencies, failures, until):
    """Calls of one honest client, ten a second."""
    request = body({"model": "gpt-4o", "messages": MESSAGES})
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                reply = await reader.read(-1)
                writer.close()
        except (OSError, TimeoutError) as error:
            reply = repr(error).encode()
        latencies.append(time.monotonic() - began)
        if not reply.startswith(b"HTTP/1.1 200 "):
            failures.append(reply[:200])
        await asyncio.sleep(max(0.0, began + 0.1 - time.monotonic()))


async def attack(port, one, until):
    while time.monotonic() < until:
        await one(port)
        await asyncio.sleep(0.05)


async def attack_all(port, seconds):
    until = time.monotonic() + seconds
    work = [attack(port, one, until) for count, one in ATTACKS.values() for _ in range(count)]
    await asyncio.gather(*work)


def attackers(port, seconds):
    """All attacks, in a process of their own: what they cost themselves is not to delay those who are measured."""
    os.nice(5)
    asyncio.run(attack_all(port, seconds))


async def traffic(gateway, seconds, *, attacks):
    """Latencies and failures of honest calls, and the most memory, while attacks go on or do not."""
    until = time.monotonic() + seconds
    latencies, failures, peak = [], [], 0
    hostile = multiprocessing.get_context("spawn").Process(target=attackers, args=(gateway.port, seconds))
    if attacks:
        hostile.start()
    tasks = [asyncio.create_task(honest(gateway.port, latencies, failures, until)) for _ in range(2)]
    while hostile.is_alive() if attacks else not all(task.done() for task in tasks):
        peak = max(peak, gateway.memory())
        await asyncio.sleep(0.2)
    await asyncio.gather(*tasks)
    assert not hostile.exitcode
    return sorted(latencies), failures, peak


def descriptors(gateway):
    return len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))


@pytest.fixture
def attacked(simulator):
    """A gateway that no other test calls, so that what it holds is its own."""
    with start_gateway("embedded", gateway_config(simulator.url), GATEWAY_UPLOAD_TIMEOUT="5") as running:
        yield running


def survive(gateway, seconds):
    """What honest clients saw before and during the attacks, and what is left of these."""
    asyncio.run(traffic(gateway, 5, attacks=True))  # pools and caches fill up
    assert wait_for(lambda: descriptors(gateway) < 60, 120)
    rest, open_before = gateway.memory(), descriptors(gateway)
    before, failures_before, _ = asyncio.run(traffic(gateway, max(5, seconds / 10), attacks=False))
    during, failures, peak = asyncio.run(traffic(gateway, seconds, attacks=True))
    assert wait_for(lambda: descriptors(gateway) <= open_before + 5, 120)
    left = gateway.memory()
    quantiles = [each[len(each) * 99 // 100] for each in (before, during)]
    print(
        f"\n{len(during)} honest calls beside attacks: p99 {quantiles[1] * 1000:.1f} ms, {quantiles[0] * 1000:.1f} ms without; "
        f"memory {rest / 1e6:.0f} MB at rest, {peak / 1e6:.0f} MB at most, {left / 1e6:.0f} MB afterwards"
    )
    assert ([], []) == (failures_before, failures)
    assert peak - rest < GROWTH
    return quantiles, left - rest


def test_honest_calls_are_answered_beside_all_attacks_at_once(attacked):
    _, remains = survive(attacked, 10)
    assert remains < GROWTH / 4


@pytest.mark.soak
def test_ten_minutes_of_all_attacks_at_once_delay_honest_calls_little_and_leave_nothing(attacked):
    quantiles, remains = survive(attacked, float(os.environ.get("ATTACK_SECONDS", "600")))
    assert quantiles[1] <= 2 * quantiles[0]
    assert remains < REMAINS
