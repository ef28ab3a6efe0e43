"""Connections to upstreams: kept, closed under us, counted; names and addresses; and faults that are our own."""

import asyncio
import contextlib
import errno
import resource
import socket
import threading
import time
from unittest import mock

import pytest
from support.calls import PATIENCE
from support.loops import LOOPS, runner
from support.scripted import NO_END, Scripted, chunk, listening, reply, then

from gateway.upstream import incoming, names, pool
from gateway.upstream.client import Upstream
from gateway.upstream.failures import TooSlow, Torn, Unreachable
from gateway.upstream.local import LocalFault

pytestmark = pytest.mark.system


@pytest.fixture(params=LOOPS, autouse=True)
def each_loop(request, monkeypatch):
    """Every test of this file runs on each event loop."""
    monkeypatch.setattr(asyncio, "run", runner(request.param))


@contextlib.asynccontextmanager
async def upstream():
    client = Upstream()
    try:
        yield client
    finally:
        await client.close()


async def whole(client, url, silence=5.0):
    exchange = await client.post(url, {}, b"{}", silence=silence)
    try:
        return await exchange.read()
    finally:
        await exchange.close()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def closes_second(seen):
    """A server that closes a connection instead of answering a second request on it."""

    async def serve(reader, writer):
        for answer in (reply(200, b"abc"), b""):
            seen.append(await reader.readuntil(b"\r\n\r\n{}"))
            writer.write(answer)

    return serve


def test_a_kept_connection_closed_before_a_byte_of_the_reply_is_replaced_at_once():
    async def work():
        seen = []
        async with listening(closes_second(seen)) as port, upstream() as client:
            answers = [await whole(client, f"http://127.0.0.1:{port}/") for _ in range(2)]
        return answers, len(seen)

    assert ([b"abc", b"abc"], 3) == asyncio.run(work())


@pytest.mark.parametrize("step", [then(b"", "close"), then(b"", "reset")], ids=["close", "reset"])
def test_a_new_connection_closed_before_a_byte_of_the_reply_is_not_tried_again(step):
    async def work():
        async with Scripted(step) as server, upstream() as client:
            with pytest.raises(Torn):
                await whole(client, server.url)
            return server.count

    assert 1 == asyncio.run(work())


def test_a_reply_that_has_begun_is_never_asked_for_again():
    async def work():
        script = reply(200, b"abc"), then(b"HTTP/1.1 2", "close")
        async with Scripted(*script) as server, upstream() as client:
            await whole(client, server.url)
            with pytest.raises(Torn):
                await whole(client, server.url)
            return server.count

    assert 2 == asyncio.run(work())


def test_the_request_is_sent_again_only_once():
    async def work():
        script = reply(200, b"abc"), then(b"", "close")
        async with Scripted(*script) as server, upstream() as client:
            await whole(client, server.url)
            with pytest.raises(Torn):
                await whole(client, server.url)
            return server.count

    assert 3 == asyncio.run(work())


def test_connections_that_upstream_closed_while_the_loop_stood_still_are_not_used():
    """The end of a connection waits to be read; whoever sends on it would learn of it too late."""
    ends = []

    def serve(listener):
        for _ in range(2):
            connection, _ = listener.accept()
            # Before the reply: whoever has it may look for the connection.
            ends.append(connection)
            connection.recv(65536)
            connection.sendall(reply(200, b"abc"))

    async def work():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = threading.Thread(target=serve, args=(listener,))
            server.start()
            async with upstream() as client:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
                await whole(client, url)
                ends[0].close()
                again = await whole(client, url)
            server.join()
            ends[1].close()
        return again

    assert b"abc" == asyncio.run(work())


def test_idle_connections_are_closed_by_a_timer(monkeypatch):
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)

    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            await asyncio.gather(*(whole(client, server.url) for _ in range(5)))
            await until(lambda: server.left == server.connections)
            return server.connections

    assert asyncio.run(work()) > 1


def test_no_more_idle_connections_are_kept_to_a_place_than_it_may_have(monkeypatch):
    monkeypatch.setattr(pool, "MAX_IDLE", 3)

    async def work():
        async with Scripted(then(b"", 0.1, reply(200, b"abc"))) as server, upstream() as client:
            await asyncio.gather(*(whole(client, server.url) for _ in range(8)))
            await until(lambda: server.left == server.connections - 3)
            return server.connections

    assert 8 == asyncio.run(work())


def test_calls_beyond_the_bound_on_connections_wait_for_one(monkeypatch):
    monkeypatch.setattr(pool, "MAX_CONNECTIONS", 2)

    async def work():
        async with (
            Scripted(then(b"", 0.02, reply(200, b"abc"))) as one,
            Scripted(then(b"", 0.02, reply(200, b"xyz"))) as other,
            upstream() as client,
        ):
            calls = [whole(client, (one, other)[turn % 2].url) for turn in range(20)]
            return await asyncio.gather(*calls), one.count, other.count

    assert ([b"abc", b"xyz"] * 10, 10, 10) == asyncio.run(work())


def test_a_call_that_finds_no_connection_in_time_blames_nobody(monkeypatch):
    monkeypatch.setattr(pool, "MAX_CONNECTIONS", 1)

    async def work():
        async with (
            Scripted(then(NO_END + chunk(b"a"), "hang"), reply(200, b"abc")) as server,
            upstream() as client,
        ):
            held = await client.post(server.url, {}, b"", silence=5)
            await held.piece()
            with monkeypatch.context() as hasty:
                hasty.setattr("gateway.upstream.client.CONNECT_TIMEOUT", 0.2)
                with pytest.raises(LocalFault, match="no connection became free"):
                    await whole(client, server.url)
            await held.close()
            return await whole(client, server.url)

    assert b"abc" == asyncio.run(work())


@pytest.mark.parametrize("kept", [999, 1000])
def test_a_thousand_connections_may_be_open_and_a_call_beyond_them_waits(monkeypatch, kept):
    monkeypatch.setattr(pool, "most_connections", lambda wanted: wanted)
    monkeypatch.setattr("gateway.upstream.client.CONNECT_TIMEOUT", 0.2)

    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            # The pool is made for the first call; its connection makes room for others.
            await whole(client, server.url)
            open_ones = client._pool._open
            for connection in list(open_ones):
                connection.abort()
            await until(lambda: not open_ones)
            open_ones.update(mock.Mock() for _ in range(kept))
            if kept == pool.MAX_CONNECTIONS:
                with pytest.raises(LocalFault, match="no connection became free"):
                    await whole(client, server.url)
                open_ones.pop()
            return await whole(client, server.url)

    assert b"abc" == asyncio.run(work())


def test_a_call_that_is_cancelled_in_the_queue_leaves_its_turn_to_the_next(monkeypatch):
    monkeypatch.setattr(pool, "MAX_CONNECTIONS", 1)

    async def work():
        async with (
            Scripted(then(NO_END + chunk(b"a"), "hang"), reply(200, b"abc")) as server,
            upstream() as client,
        ):
            held = await client.post(server.url, {}, b"", silence=5)
            await held.piece()
            first, second = (asyncio.create_task(whole(client, server.url)) for _ in range(2))
            await asyncio.sleep(0.05)
            first.cancel()
            await held.close()
            return await second

    assert b"abc" == asyncio.run(work())


def test_a_process_without_descriptors_blames_nobody():
    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            # A descriptor's number is below the limit.
            probe = socket.socket()
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
            probe.close()
            spare = []
            with contextlib.suppress(OSError):
                while True:
                    spare.append(socket.socket())
            try:
                with pytest.raises(LocalFault) as caught:
                    await whole(client, server.url)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for one in spare:
                    one.close()
            return caught.value.__cause__.errno, await whole(client, server.url)

    assert (errno.EMFILE, b"abc") == asyncio.run(work())


def slow_names(monkeypatch, *slow):
    """Let host names that begin with one of `slow` resolve only when the result is set."""
    go, real, asked = threading.Event(), socket.getaddrinfo, []

    def getaddrinfo(host, *arguments, **options):
        asked.append(host)
        if host.startswith(slow):
            go.wait(10)
        return real("127.0.0.1" if host.endswith(".test") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return go, asked


def test_a_name_that_resolves_slowly_delays_only_its_own_calls(monkeypatch):
    go, asked = slow_names(monkeypatch, "slow")

    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            port = server.url.rsplit(":", 1)[1]
            slow = [asyncio.create_task(whole(client, f"http://slow.test:{port}/")) for _ in range(100)]
            await until(lambda: asked)
            quick = await whole(client, f"http://quick.test:{port}/")
            waiting = not any(call.done() for call in slow)
            go.set()
            return quick, waiting, set(await asyncio.gather(*slow))

    assert (b"abc", True, {b"abc"}) == asyncio.run(work())
    assert 1 == asked.count("slow.test")


def test_a_name_that_does_not_resolve_in_time_is_unreachable(monkeypatch):
    go, _ = slow_names(monkeypatch, "slow")
    monkeypatch.setattr("gateway.upstream.client.CONNECT_TIMEOUT", 0.2)

    async def work():
        async with upstream() as client:
            try:
                with pytest.raises(Unreachable):
                    await whole(client, "http://slow.test:1/")
            finally:
                go.set()

    asyncio.run(work())


def test_a_resolver_that_is_busy_with_other_names_blames_nobody(monkeypatch):
    go, asked = slow_names(monkeypatch, "slow")

    async def work():
        async with upstream() as client:
            held = [asyncio.create_task(whole(client, f"http://slow{n}.test:1/")) for n in range(64)]
            await until(lambda: len(asked) == 64)
            with pytest.raises(LocalFault, match="busy"):
                await whole(client, "http://quick.test:1/")
            go.set()
            assert {Unreachable} == {type(e) for e in await asyncio.gather(*held, return_exceptions=True)}

    asyncio.run(work())


@pytest.mark.parametrize(
    ("code", "kind"),
    [(socket.EAI_NONAME, Unreachable), (socket.EAI_AGAIN, LocalFault), (socket.EAI_MEMORY, LocalFault)],
)
def test_a_name_that_does_not_exist_is_told_from_a_resolver_that_does_not_answer(monkeypatch, code, kind):
    def getaddrinfo(*_, **__):
        raise socket.gaierror(code, "x")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def work():
        async with upstream() as client:
            with pytest.raises(kind):
                await whole(client, "http://any.test:1/")

    asyncio.run(work())


def test_addresses_are_remembered_and_outlive_a_resolver_that_fails(monkeypatch):
    _, asked = slow_names(monkeypatch, "none")

    async def work():
        found = names.Names()
        first = await found.find("a.test", 80, 1)
        again = await found.find("a.test", 80, 1)
        counted = asked.count("a.test")
        monkeypatch.setattr(names, "FRESH_SECONDS", 0.0)
        await found.find("b.test", 80, 1)

        def getaddrinfo(*_, **__):
            raise socket.gaierror(socket.EAI_AGAIN, "x")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return first == again == await found.find("b.test", 80, 1), counted

    assert (True, 1) == asyncio.run(work())


@pytest.mark.parametrize("dead", ["refused", "silent"])
def test_an_address_that_does_not_answer_does_not_keep_from_the_next(monkeypatch, dead):
    """The first address refuses, or its backlog is full so that it never answers."""
    real = socket.getaddrinfo

    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            with socket.socket() as closed:
                closed.bind(("127.0.0.2", int(server.url.rsplit(":", 1)[1])))
                filler = []
                if dead == "silent":
                    closed.listen(0)
                    for _ in range(4):
                        one = socket.socket()
                        one.setblocking(False)
                        one.connect_ex(closed.getsockname())
                        filler.append(one)

                def getaddrinfo(host, *arguments, **options):
                    hosts = ["127.0.0.2", "127.0.0.1"] if host == "two.test" else [host]
                    return [found for each in hosts for found in real(each, *arguments, **options)]

                monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
                try:
                    return await whole(client, server.url.replace("127.0.0.1", "two.test"))
                finally:
                    for one in filler:
                        one.close()

    assert b"abc" == asyncio.run(work())


def test_a_connection_is_probed_by_the_system_while_it_is_silent():
    async def work():
        async with Scripted(reply(200, b"abc")) as server, upstream() as client:
            await whole(client, server.url)
            (idle,) = client._pool._idle.values()
            connection = socket.socket(fileno=socket.dup(idle[0]._descriptor))
            with connection:
                return (
                    connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                )

    assert (1, 60) == asyncio.run(work())


def test_a_reply_that_came_while_the_loop_stood_still_is_no_silence():
    async def work():
        async with Scripted(then(b"", 0.3, reply(200, b"abc"))) as server, upstream() as client:
            loop = asyncio.get_running_loop()
            # The server is on this loop, too: it answers only after the loop has run again.
            loop.call_later(0.1, time.sleep, 1.0)
            return await whole(client, server.url, silence=0.6)

    assert b"abc" == asyncio.run(work())


def test_silence_counts_again_once_the_loop_runs():
    async def work():
        async with Scripted(then(b"", "hang")) as server, upstream() as client:
            asyncio.get_running_loop().call_later(0.05, time.sleep, 0.5)
            with pytest.raises(TooSlow):
                await whole(client, server.url, silence=0.3)
            return client.lost() > 0.3, client.excuses(0.0, 1.0), client.excuses(0.0, 100.0)

    assert (True, True, False) == asyncio.run(work())


EDGE = incoming.MAX_HEAD


def head_of(size):
    """A reply whose head has that many bytes."""
    start, end = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: ", b"\r\n\r\n"
    return start + b"y" * (size - len(start) - len(end)) + end + b"{}"


def trailers_of(size, lines):
    """A chunked reply with trailers of that many bytes on so many lines."""
    line = b"x: " + b"y" * (size // lines - 5) + b"\r\n"
    return NO_END + chunk(b"abc") + b"0\r\n" + line * lines + b"\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (head_of(EDGE - 1), b"{}"),
        (trailers_of(EDGE - 100, 1), b"abc"),
        (trailers_of(EDGE - 100, 10), b"abc"),
    ],
    ids=["head", "trailer", "trailers"],
)
def test_a_head_and_trailers_may_have_64_kilobytes(answer, expected):
    async def work():
        async with Scripted(answer) as server, upstream() as client:
            return await whole(client, server.url)

    assert expected == asyncio.run(work())


@pytest.mark.parametrize(
    "answer",
    [
        head_of(EDGE + 10),
        head_of(20 * EDGE),
        trailers_of(EDGE + 1000, 10),
        trailers_of(40 * EDGE, 10),
        trailers_of(40 * EDGE, 1),
        NO_END + chunk(b"abc") + b"3;" + b"x" * (40 * EDGE),
    ],
    ids=["head", "long head", "trailers", "many trailers", "a trailer", "a chunk's extension"],
)
def test_more_than_that_is_cut(answer):
    async def work():
        async with Scripted(answer) as server, upstream() as client:
            with pytest.raises(Torn):
                await whole(client, server.url)

    asyncio.run(work())
