"""All kinds of hostile callers at once, beside honest ones: these are answered, and nothing stays behind.

    .venv/bin/python -m pytest tests/flows/test_flow_attacks.py -m soak -s

runs the long form: ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
from support.calls import MESSAGES, PATIENCE, head, post, wait_for
from support.gateways import start_gateway
from support.processes import started
from support.upstream import gateway_config, simulator_config

from simulator.ports import free_port

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
TWO_BYTES = [b"2\r\n  \r\n" * 8192] * 100
UNENDED = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 10_000


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
    "wrong keys with bodies of 100 KB": (
        20,
        lambda port: spoken(
            port,
            head("POST", "/v1/chat/completions", "content-length: 100000", key=WRONG),
            b" " * 100_000,
            seconds=1,
        ),
    ),
    "chunks of two bytes": (
        2,
        lambda port: spoken(
            port, head("POST", "/v1/chat/completions", "transfer-encoding: chunked"), *TWO_BYTES
        ),
    ),
    "chunks of two bytes behind a wrong key": (2, lambda port: spoken(port, CHUNKED, *TWO_BYTES)),
    "large heads without end": (20, lambda port: spoken(port, UNENDED, read=False, seconds=3)),
    "heads of a thousand lines": (
        5,
        lambda port: spoken(
            port, b"GET /v1/models HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 998 + b"\r\n", seconds=1
        ),
    ),
    "pipelines behind a slow request": (
        3,
        lambda port: spoken(
            port,
            body({"model": "slow", "messages": MESSAGES}),
            b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 2000,
            seconds=3,
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


def attackers(port, seconds, yielding, ready):
    """All attacks, in a process of their own: what they cost themselves is not to delay those who are measured."""
    os.nice(5)
    if yielding:
        give_way(os.getpid())
    ready.set()
    asyncio.run(attack_all(port, seconds))


def give_way(pid):
    """A process runs from now on when nobody else wants its core. Elsewhere than on Linux it goes on as before."""
    if hasattr(os, "SCHED_IDLE"):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


async def traffic(gateway, seconds, *, attacked=None, yielding=False):
    """Latencies and failures of honest calls, and the most memory, while a gateway is attacked: this one, another, or none.

    With `yielding` the attackers give way to all others on their core.
    """
    latencies, failures, peak = [], [], 0
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    hostile = spawn.Process(target=attackers, args=(attacked and attacked.port, seconds, yielding, ready))
    if attacked:
        hostile.start()
        # Its start costs the machine a second, which no gateway is asked about.
        assert await asyncio.to_thread(ready.wait, PATIENCE)
    until = time.monotonic() + seconds
    tasks = [asyncio.create_task(honest(gateway.port, latencies, failures, until)) for _ in range(2)]
    while hostile.is_alive() if attacked else not all(task.done() for task in tasks):
        peak = max(peak, gateway.memory())
        await asyncio.sleep(0.2)
    await asyncio.gather(*tasks)
    assert not hostile.exitcode
    return latencies, failures, peak


def p99(latencies):
    """Milliseconds."""
    return 1000 * sorted(latencies)[len(latencies) * 99 // 100]


def descriptors(gateway):
    return len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))


@contextlib.contextmanager
def simulator_apart():
    """A simulator in a process of its own: what attacks cost it is not to delay those who are measured."""
    with tempfile.TemporaryDirectory() as folder:
        config, port = Path(folder) / "config.json", free_port()
        config.write_text(json.dumps(simulator_config()))
        command = [sys.executable, "-m", "simulator", "--config", str(config), "--port", str(port)]
        with started("simulator", command, {}, port=port) as running:
            yield running


@contextlib.contextmanager
def cores_of_their_own(gateways, others):
    """Gateways run on one core; `others`, this process and what it starts run on the remaining ones."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if len(cores) < 2:
        yield
        return
    own = {min(cores)}
    for servers, where in ((gateways, own), (others, cores - own)):
        for server in servers:
            for thread in Path(f"/proc/{server.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), where)
    os.sched_setaffinity(0, cores - own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def attacked_gateway(config):
    return start_gateway("embedded", config, GATEWAY_UPLOAD_TIMEOUT="5")


def settled(gateway):
    """Its memory and its descriptors, once pools and caches have filled up in a first attack."""
    asyncio.run(traffic(gateway, 5, attacked=gateway))
    assert wait_for(lambda: descriptors(gateway) < 60, 120)
    return gateway.memory(), descriptors(gateway)


def check_memory(gateway, rest, peak, open_before):
    """Bytes by which memory differs from that at rest, once all connections of the attackers are closed."""
    assert wait_for(lambda: descriptors(gateway) <= open_before + 5, 120)
    left = gateway.memory()
    print(f"memory {rest / 1e6:.0f} MB at rest, {peak / 1e6:.0f} MB at most, {left / 1e6:.0f} MB afterwards")
    assert peak - rest < GROWTH
    return left - rest


def test_honest_calls_are_answered_beside_all_attacks_at_once(simulator):
    # No other test calls this gateway: what it holds is its own.
    with attacked_gateway(gateway_config(simulator.url)) as gateway:
        rest, open_before = settled(gateway)
        latencies, failures, peak = asyncio.run(traffic(gateway, 10, attacked=gateway))

        assert (True, []) == (len(latencies) > 0, failures)
        assert check_memory(gateway, rest, peak, open_before) < GROWTH / 4


@pytest.mark.soak
def test_ten_minutes_of_all_attacks_at_once_delay_honest_calls_little_and_leave_nothing():
    """Honest calls are compared with those at rest and with those beside attacks on another gateway.

    What attackers, kernel and upstreams cost the machine is in the latter, too. The gateways have a core of their
    own where there are two: else it would be measured who of all these gets one. On the other one attackers, and the
    upstream that they reach, give way to the honest clients and theirs.
    """
    seconds = float(os.environ.get("ATTACK_SECONDS", "600"))
    rounds = max(1, round(seconds / 60))
    nobody, beside, during, peaks = [], [], [], []
    with contextlib.ExitStack() as stack:
        upstream, attacked_upstream = (stack.enter_context(simulator_apart()) for _ in range(2))
        config = gateway_config(attacked_upstream.url)
        for member in config["model_list"]:
            if member["model_name"] == "gpt-4o":
                member["litellm_params"]["api_base"] = upstream.url
        gateway, another = (stack.enter_context(attacked_gateway(config)) for _ in range(2))
        stack.enter_context(cores_of_their_own((gateway, another), (upstream, attacked_upstream)))
        give_way(attacked_upstream.pid)
        rest, open_before = settled(gateway)
        for _ in range(rounds):
            for latencies, attacked, share in (
                (nobody, None, 0.1),
                (beside, another, 0.25),
                (during, gateway, 1.0),
            ):
                length = max(5.0, share * seconds / rounds)
                more, failures, peak = asyncio.run(traffic(gateway, length, attacked=attacked, yielding=True))
                assert [] == failures
                latencies.extend(more)
                peaks.append(peak)
        remains = check_memory(gateway, rest, max(peaks), open_before)
    found = [p99(latencies) for latencies in (nobody, beside, during)]
    print(
        "p99 of honest calls in ms: {:.1f}, {:.1f} beside attacks on another gateway, {:.1f} beside attacks on this one".format(
            *found
        )
    )

    # A minute has some hundred calls without attacks, of which the second slowest says little.
    assert found[2] <= 2 * (found[0] if seconds >= 600 else max(found[:2]))
    assert remains < REMAINS
