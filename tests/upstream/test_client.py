"""Exchanges with upstreams over real sockets: whole, in pieces, broken, late; and which connections live on."""

import asyncio
import ssl

import pytest
from support.calls import PATIENCE
from support.certificates import make_authority
from support.loops import LOOPS, runner
from support.scripted import NO_END, Scripted, chunk, listening, reply, then

from gateway.upstream import client as upstream
from gateway.upstream import connections
from gateway.upstream import pool as pool_module
from gateway.upstream.client import Upstream
from gateway.upstream.failures import TooSlow, Torn, Unreachable
from simulator.ports import closed_port

pytestmark = pytest.mark.system

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=LOOPS, autouse=True)
def each_loop(request, monkeypatch):
    """Every test of this file runs on each event loop."""
    monkeypatch.setattr(asyncio, "run", runner(request.param))


def run(test, *script, **options):
    """Run `test(pool, server)` against a scripted upstream."""

    async def work():
        async with Scripted(*script, **options) as server:
            pool = Upstream()
            try:
                return await test(pool, server)
            finally:
                await pool.close()

    return asyncio.run(work())


async def post(pool, server, body=b"{}", *, silence=5.0, path="/x"):
    return await pool.post(server.url + path, {}, body, silence=silence)


async def whole(pool, server, body=b"{}", **options):
    """(status, body) of one exchange."""
    exchange = await post(pool, server, body, **options)
    try:
        return exchange.status, await exchange.read()
    finally:
        await exchange.close()


def read(*script, **options):
    """(status, body) of one exchange with a scripted upstream."""
    return run(lambda pool, server: whole(pool, server, **options), *script)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(200, b"abc"), (200, b"abc")),
        (reply(404, b""), (404, b"")),
        (NO_END + chunk(b"ab") + chunk(b"c") + b"0\r\n\r\n", (200, b"abc")),
        (NO_END + chunk(b"abc") + b"0\r\nx-trailer: 1\r\n\r\n", (200, b"abc")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + reply(200, b"abc"),
            (200, b"abc"),
        ),
        (then(HEAD + b"connection: close\r\n\r\nabc", "close"), (200, b"abc")),
        (then(b"HTTP/1.0 200 OK\r\n\r\nabc", "close"), (200, b"abc")),
        (HEAD + b"content-length: 3\r\nset-cookie: a=b\r\nset-cookie: c=d\r\n\r\nabc", (200, b"abc")),
    ],
    ids=[
        "length",
        "empty",
        "chunks",
        "trailer",
        "204",
        "interim heads",
        "until close",
        "http 1.0",
        "cookies",
    ],
)
def test_a_reply_is_read_in_every_form(answer, expected):
    assert expected == read(answer)


def test_a_reply_may_come_byte_by_byte():
    answer = reply(200, b"abc")
    assert (200, b"abc") == read(
        then(*[part for i in range(len(answer)) for part in (answer[i : i + 1], 0.0)])
    )


def test_interim_heads_leave_no_headers_behind():
    async def test(pool, server):
        exchange = await post(pool, server)
        await exchange.read()
        return exchange.headers.get("link"), exchange.headers.get("content-type")

    assert (None, "application/json") == run(test, b"HTTP/1.1 103 X\r\nlink: x\r\n\r\n" + reply(200, b"abc"))


BROKEN = {
    "closed at once": then(b"", "close"),
    "reset at once": then(b"", "reset"),
    "closed in the head": then(HEAD + b"content-len", "close"),
    "no http": b"220 smtp.example ESMTP\r\n",
    "a short body": then(HEAD + b"content-length: 9\r\n\r\nabc", "close"),
    "a reset body": then(HEAD + b"content-length: 9\r\n\r\nabc", "reset"),
    "chunks without an end": then(NO_END + chunk(b"abc"), "close"),
    "a torn chunk": then(NO_END + b"5\r\nabc", "close"),
    "a bad chunk": NO_END + b"xyz\r\nabc\r\n",
    "two lengths": HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "length and chunks": HEAD
    + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a head without end": HEAD + b"x: " + b"y" * 70_000,
    "many headers": HEAD + b"x: yyyyyyyyyyyy\r\n" * 40_000 + b"content-length: 0\r\n\r\n",
    "a protocol switch": b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("step", BROKEN.values(), ids=BROKEN)
def test_a_broken_reply_is_never_taken_for_a_whole_one(step):
    async def test(pool, server):
        with pytest.raises(Unreachable):
            await whole(pool, server, silence=2.0)
        return server.connections

    assert 1 == run(test, step)


def test_a_refused_connection_is_unreachable():
    async def work():
        with pytest.raises(Unreachable):
            await Upstream().post(f"http://127.0.0.1:{closed_port()}/", {}, b"", silence=5)

    asyncio.run(work())


def test_a_connection_that_takes_too_long_is_unreachable(monkeypatch):
    monkeypatch.setattr(upstream, "CONNECT_TIMEOUT", 0.1)

    async def work():
        async def silent(reader, writer):
            await asyncio.sleep(60)

        # TLS, of which the other side says nothing: connected, but not ready.
        async with listening(silent) as port:
            with pytest.raises(Unreachable) as caught:
                await Upstream().post(f"https://127.0.0.1:{port}/", {}, b"", silence=5)
        return type(caught.value.__cause__)

    # The silence that is allowed on a connection would be the next to end it, with another error.
    assert TimeoutError is asyncio.run(work())


@pytest.mark.parametrize(
    "step", [then(b"", "hang"), then(HEAD, "hang"), then(HEAD + b"content-length: 9\r\n\r\nabc", "hang")]
)
def test_silence_is_too_slow_and_cuts_the_connection(step):
    async def test(pool, server):
        with pytest.raises(TooSlow):
            await whole(pool, server, silence=0.15)
        async with asyncio.timeout(PATIENCE):
            while not server.left:
                await asyncio.sleep(0.005)

    run(test, step)


def test_a_reply_may_take_longer_than_the_silence_if_it_keeps_coming():
    parts = [part for _ in range(6) for part in (chunk(b"x"), 0.25)]
    assert (200, b"xxxxxx") == read(then(NO_END, *parts, b"0\r\n\r\n"), silence=1.2)


def test_the_readers_own_pause_is_no_silence():
    async def test(pool, server):
        exchange = await post(pool, server, silence=0.5)
        first = await exchange.piece()
        await asyncio.sleep(1.0)
        return first + await exchange.read()

    assert b"ab" == run(test, then(NO_END + chunk(b"a"), 0.9, chunk(b"b") + b"0\r\n\r\n"))


def test_pieces_are_there_as_soon_as_they_came():
    async def test(pool, server):
        exchange = await post(pool, server)
        pieces = [await exchange.piece()]
        open_yet = server.count
        return pieces + [piece async for piece in _pieces(exchange)], open_yet

    pieces, _ = run(
        test, then(NO_END + chunk(b"one"), 0.05, chunk(b"two"), 0.05, chunk(b"three") + b"0\r\n\r\n")
    )
    assert [b"one", b"two", b"three"] == pieces


async def _pieces(exchange):
    while piece := await exchange.piece():
        yield piece


def test_after_the_end_there_is_nothing_more():
    async def test(pool, server):
        exchange = await post(pool, server)
        return [await exchange.read(), await exchange.piece(), await exchange.piece()]

    assert [b"abc", b"", b""] == run(test, reply(200, b"abc"))


@pytest.mark.parametrize("size", [0, 1, connections.ONE_PIECE, connections.ONE_PIECE + 1, 5_000_000])
def test_a_body_of_any_size_arrives_as_it_is(size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def test(pool, server):
        await whole(pool, server, body)
        return server.requests[0]

    head, received = run(test, reply(200, b"{}"))
    assert body == received
    assert b"content-length: %d\r\n" % size in head


def test_a_path_reaches_upstream_as_it_is_written():
    async def test(pool, server):
        await whole(pool, server, path="/openai/deployments/a%2Fb/x?api-version=2024-10-21&y=%20")
        return server.requests[0][0].split(b"\r\n")

    line, *headers = run(test, reply(200, b"{}"))
    assert b"POST /openai/deployments/a%2Fb/x?api-version=2024-10-21&y=%20 HTTP/1.1" == line
    assert 1 == sum(header.lower().startswith(b"host: 127.0.0.1:") for header in headers)


def test_a_connection_is_used_again_after_a_whole_reply():
    async def test(pool, server):
        for _ in range(5):
            await whole(pool, server)
        return server.connections, server.count

    for answer in (reply(200, b"abc"), NO_END + chunk(b"abc") + b"0\r\n\r\n", reply(500, b"x" * 300_000)):
        assert (1, 5) == run(test, answer)


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"abc", connection="close"),
        then(HEAD + b"\r\nabc", "close"),
        reply(200, b"abc") + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nxyz",
        reply(200, b"abc") + b"garbage",
    ],
    ids=["closing", "until close", "two replies", "garbage behind"],
)
def test_a_connection_that_cannot_be_trusted_is_not_used_again(answer):
    async def test(pool, server):
        return [await whole(pool, server) for _ in range(3)], server.connections

    assert ([(200, b"abc")] * 3, 3) == run(test, answer)


def test_bytes_nobody_asked_for_end_a_connection(caplog):
    async def test(pool, server):
        await whole(pool, server)
        await asyncio.sleep(0.1)
        return await whole(pool, server), server.connections

    late = then(reply(200, b"abc"), 0.03, reply(200, b"for somebody else"), "hang")
    assert ((200, b"abc"), 2) == run(test, late, reply(200, b"abc"))
    assert [] == caplog.records


def test_a_reply_that_was_not_read_to_its_end_cuts_its_connection():
    async def test(pool, server):
        exchange = await post(pool, server)
        await exchange.piece()
        await exchange.close()
        await exchange.close()
        async with asyncio.timeout(PATIENCE):
            while not server.left:
                await asyncio.sleep(0.005)
        return await whole(pool, server), server.connections

    assert ((200, b"abc"), 2) == run(test, then(NO_END + chunk(b"a"), "hang"), reply(200, b"abc"))


def test_an_idle_connection_that_upstream_closed_is_not_used():
    async def test(pool, server):
        await whole(pool, server)
        await asyncio.sleep(0.1)
        return await whole(pool, server), server.connections

    assert ((200, b"abc"), 2) == run(test, then(reply(200, b"abc"), "close"), reply(200, b"abc"))


def test_a_connection_that_was_idle_too_long_is_not_used(monkeypatch):
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.05)

    async def test(pool, server):
        await whole(pool, server)
        await asyncio.sleep(0.1)
        await whole(pool, server)
        return server.connections

    assert 2 == run(test, reply(200, b"abc"))


def test_an_early_reply_to_a_large_request_leaves_no_rest_on_the_connection():
    async def work():
        seen = []

        async def early(reader, writer):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply(413, b"too large"))
            await writer.drain()
            await asyncio.sleep(0.2)

        pool = Upstream()
        results = []
        async with listening(early, limit=1024) as port:
            for body in (b"x" * 30_000_000, b"{}"):
                exchange = await pool.post(f"http://127.0.0.1:{port}/", {}, body, silence=5)
                results.append((exchange.status, await exchange.read()))
                await exchange.close()
            await pool.close()
        return results, len(seen)

    assert ([(413, b"too large")] * 2, 2) == asyncio.run(work())


def test_closing_breaks_off_the_replies_that_still_come():
    async def work():
        left = asyncio.Event()

        async def unending(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(NO_END + chunk(b"ab"))
            try:
                await reader.read()
            finally:
                left.set()

        async with listening(unending) as port:
            pool = Upstream()
            exchange = await pool.post(f"http://127.0.0.1:{port}/", {}, b"{}", silence=PATIENCE)
            reading = asyncio.create_task(exchange.read())
            await asyncio.sleep(0)
            await pool.close()
            with pytest.raises(Torn):
                await asyncio.wait_for(reading, PATIENCE)
            await asyncio.wait_for(left.wait(), PATIENCE)

    asyncio.run(work())


def test_a_cancelled_request_closes_its_connection():
    async def test(pool, server):
        sending = asyncio.create_task(post(pool, server))
        while not server.count:
            await asyncio.sleep(0.005)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        async with asyncio.timeout(PATIENCE):
            while not server.left:
                await asyncio.sleep(0.005)

    run(test, then(b"", "hang"))


def test_many_requests_at_once_have_a_connection_each_and_their_own_answer():
    accepted = []

    async def echo(reader, writer):
        accepted.append(writer)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            number = head.split(b" ")[1][1:]
            await reader.readexactly(2)
            await asyncio.sleep(int(number) % 7 / 500)
            writer.write(reply(200, number))

    async def work():
        pool = Upstream()

        async def one(number):
            exchange = await pool.post(f"http://127.0.0.1:{port}/{number}", {}, b"{}", silence=5)
            body = await exchange.read()
            await exchange.close()
            return int(body)

        async with listening(echo, backlog=256) as port:
            for _ in range(3):
                assert list(range(100)) == await asyncio.gather(*map(one, range(100)))
            await pool.close()

    asyncio.run(work())
    assert 100 == len(accepted)


def test_a_reader_that_does_not_read_slows_the_sender_down():
    sent = []

    async def flood(writer):
        writer.write(NO_END)
        for _ in range(400):
            writer.write(chunk(b"x" * 65_536))
            await writer.drain()
            sent.append(65_536)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def test(pool, server):
        exchange = await post(pool, server)
        await asyncio.sleep(0.4)
        held = sum(sent)
        size = 0
        while piece := await exchange.piece():
            size += len(piece)
        await exchange.close()
        return held, size, await whole_again(pool, server)

    async def whole_again(pool, server):
        await whole(pool, server)
        return server.connections

    held, size, opened = run(test, flood, reply(200, b"{}"))
    assert held < 20_000_000
    assert (400 * 65_536, 1) == (size, opened)


def test_a_pool_is_good_on_another_loop():
    pool = Upstream()

    async def work():
        async with Scripted(reply(200, b"abc")) as server:
            try:
                return await whole(pool, server)
            finally:
                await pool.close()

    assert [(200, b"abc")] * 2 == [asyncio.run(work()), asyncio.run(work())]


def test_closing_before_the_first_request_does_no_harm():
    asyncio.run(Upstream().close())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("tls"))


def over_tls(authority, hosts=("localhost",)):
    """(status, body) of an exchange with a TLS server that holds a certificate for `hosts`."""

    async def work():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(200, b"abc"))
            await writer.drain()

        pool = Upstream()
        async with listening(serve, ssl=authority.server_context(*hosts)) as port:
            try:
                exchange = await pool.post(f"https://localhost:{port}/", {}, b"", silence=5)
                return exchange.status, await exchange.read()
            finally:
                await pool.close()

    return asyncio.run(work())


def test_tls_works_with_an_authority_that_is_trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert (200, b"abc") == over_tls(authority)


def test_an_authority_that_is_not_trusted_is_unreachable(authority):
    with pytest.raises(Unreachable) as caught:
        over_tls(authority)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_a_certificate_for_another_host_is_unreachable(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with pytest.raises(Unreachable):
        over_tls(authority, hosts=("other.example",))
