"""Many at once, and many one after the other: nothing is mixed up, and nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from support.calls import call, chat, connect, post, wait_for

CONCURRENT = 200

#: What resident memory may grow by in the short form: pools and caches fill up; a leak of a few KB for each of a
#: thousand requests would show.
SHORT_GROWTH = 6_000_000


async def exchange(port, request):
    """One request on a connection of its own; the bytes of the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
        return await asyncio.wait_for(reader.read(-1), 60)
    finally:
        writer.close()


def all_at_once(port, requests, limit=CONCURRENT):
    """The replies to many requests, at most `limit` of them under way."""

    async def run():
        gate = asyncio.Semaphore(limit)

        async def one(request):
            async with gate:
                return await exchange(port, request)

        return await asyncio.gather(*(one(request) for request in requests))

    return asyncio.run(run())


def chat_request(model, mark, *, stream):
    return post(
        "/v1/chat/completions",
        {"model": model, "messages": [{"role": "user", "content": f"mark-{mark}-end"}], "stream": stream},
    )


def content_of(reply, *, stream):
    """The text of a reply; a stream's is put together from its events."""
    if not stream:
        return json.loads(reply.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"]
    assert reply.endswith(b"0\r\n\r\n")
    assert b"data: [DONE]" in reply
    text = ""
    for line in reply.split(b"\n"):
        if line.startswith(b"data: {"):
            choices = json.loads(line.removeprefix(b"data: ").rstrip(b"\r"))["choices"]
            text += (choices[0]["delta"].get("content") or "") if choices else ""
    return text


@pytest.mark.parametrize("stream", [False, True])
def test_two_hundred_requests_at_once_get_each_its_own_answer(gateway, stream):
    requests = [chat_request("gpt-4o", number, stream=stream) for number in range(CONCURRENT)]

    replies = all_at_once(gateway.port, requests)

    texts = [content_of(reply, stream=stream) for reply in replies]
    assert [] == [number for number, text in enumerate(texts) if f"mark-{number}-end" not in text]


def test_streams_run_side_by_side(gateway):
    # Streams of 1.5 s each: one alone, and 50 at once.
    took = []
    for count in (1, 50):
        requests = [chat_request("slow", number, stream=True) for number in range(count)]
        began = time.monotonic()
        replies = all_at_once(gateway.port, requests)
        took.append(time.monotonic() - began)
        assert [True] * count == [b"data: [DONE]" in reply for reply in replies]

    alone, together = took
    assert together < 13 * alone


def test_operations_of_all_kinds_side_by_side(gateway):
    kinds = [
        post("/v1/embeddings", {"model": "embed", "input": "x"}),
        post("/v1/completions", {"model": "instruct", "prompt": "x"}),
        post("/v1/audio/speech", {"model": "azure/tts-1", "input": "x", "voice": "alloy"}),
        chat_request("gpt-4o", 1, stream=True),
        chat_request("gpt-4o", 1, stream=False),
        chat_request("nothing", 1, stream=False),
        post("/v1/chat/completions", b"{"),
    ]

    statuses = Counter(reply[9:12] for reply in all_at_once(gateway.port, kinds * 20))

    assert {b"200": 100, b"404": 20, b"400": 20} == statuses


def test_upstream_connections_are_used_again(gateway, pool):
    model = pool.solo()

    for _ in range(30):
        assert 200 == chat(gateway.port, model.name).status

    assert 1 == len({entry["peer_port"] for entry in pool.log(*model.deployments)})


def leave_in_the_middle(gateway, pool, count):
    model = pool.solo({"delay_s": 600, "times": 0})
    connections = []
    for number in range(count):
        connection = connect(gateway.port)
        connection.sendall(chat_request(model.name, number, stream=bool(number % 2)))
        connections.append(connection)
    assert wait_for(lambda: pool.counts(model) == [count])
    for connection in connections:
        connection.close()
    assert wait_for(lambda: all(entry["disconnected"] for entry in pool.log(*model.deployments)))


def mixed_round(gateway, pool, count):
    """`count` requests of the main kinds, most of them answered."""
    requests = [chat_request("gpt-4o", number, stream=bool(number % 2)) for number in range(count)]
    all_at_once(gateway.port, requests, 50)
    leave_in_the_middle(gateway, pool, 20)


def test_memory_and_connections_do_not_grow(gateway, pool):
    mixed_round(gateway, pool, 500)
    mixed_round(gateway, pool, 500)
    memory = gateway.memory()

    mixed_round(gateway, pool, 1000)

    assert gateway.memory() - memory < SHORT_GROWTH
    # At most the pool's idle connections to the simulator are left; none belongs to a client.
    assert wait_for(lambda: clients_left(gateway) == 0)
    if gateway.host == "functions":
        assert wait_for(lambda: gateway.state()["entries"] <= 1)
        assert 0 == gateway.state()["running"]


def clients_left(gateway):
    """Connections whose local end is a port that the gateway listens on, seen from outside."""
    port = f":{gateway.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[1].endswith(port) and row[3] in {"01", "08"} for row in rows)


@pytest.mark.soak
def test_twenty_thousand_requests_and_two_thousand_streams_leave_nothing_behind(gateway, pool, simulator):
    def burst(requests, streams):
        work = [chat_request("gpt-4o", number, stream=False) for number in range(requests)]
        work += [chat_request("long", number, stream=True) for number in range(streams)]
        for start in range(0, len(work), 1000):
            replies = all_at_once(gateway.port, work[start : start + 1000], 50)
            assert [] == [reply[:200] for reply in replies if not reply.startswith(b"HTTP/1.1 200 ")]
        simulator.simulator.journal.clear()

    burst(2000, 200)
    leave_in_the_middle(gateway, pool, 100)
    before = gateway.memory()

    burst(20_000, 2_000)
    leave_in_the_middle(gateway, pool, 100)

    after = gateway.memory()
    print(f"\n{gateway.host}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")
    assert after - before < 10_000_000
    assert wait_for(lambda: clients_left(gateway) == 0)
    assert gateway.connections() <= 120
    if gateway.host == "functions":
        assert wait_for(lambda: gateway.state()["entries"] <= 1)
    assert 200 == call(gateway.port, "GET", "/healthz").status
