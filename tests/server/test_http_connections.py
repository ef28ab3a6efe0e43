"""What a connection of the embedded host may take: time, bytes, and places. On raw sockets; deadlines are short here."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import time
from pathlib import Path

import httpx
import pytest
from support import http
from support.calls import PATIENCE, connect, head, read_all, read_until, refuses, wait_for
from support.hosts import start_embedded_host
from support.sample_app import SAMPLE_APP, seen

from gateway.server.connection_table import PIPELINE_SECONDS
from gateway.server.incoming import MAX_HEAD_BYTES

pytestmark = pytest.mark.system

SHORT = {
    "HEAD_SECONDS": 0.6,
    "IDLE_SECONDS": 4.0,
    "LINGER_SECONDS": 2.0,
    "READ_SECONDS": 1.0,
    "TICK_SECONDS": 0.1,
}
HALF_HEAD = head("GET", "/api/json")[:-2]
#: The sample app answers it at once, with 404.
UNREAD = head("POST", "/api/none", "content-length: 100")


@pytest.fixture(scope="module")
def hasty(request):
    """The embedded host with short deadlines."""
    settings = {"TEST_CONNECTIONS": json.dumps(SHORT)}
    with start_embedded_host(SAMPLE_APP, settings, loop=request.param.loop) as host:
        yield host


@pytest.fixture
def patient():
    """The embedded host with deadlines that no test waits for, and ten places."""
    with start_embedded_host(SAMPLE_APP, {"TEST_MAX_CONNECTIONS": "10"}) as host:
        yield host


def statuses(replies: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", replies)]


def resident(host) -> int:
    """Resident memory in bytes."""
    pages = int(Path(f"/proc/{host.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def connections_of(host) -> int:
    """Sockets that the host has open, its listener included: once, however many descriptors it has."""
    links = Path(f"/proc/{host.process.pid}/fd").iterdir()
    found = set()
    for link in links:
        with contextlib.suppress(OSError):
            found.add(link.readlink().name)
    return sum(name.startswith("socket:") for name in found)


def send_until_cut(connection: socket.socket, piece: bytes, most: int) -> int:
    """Bytes that were sent before the other side let the connection go, or `most`."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    return sent


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"", []),
        (HALF_HEAD, [408]),
        (b"GET /api", [408]),
        (b"\r\n", [408]),
        (head("GET", "/api/json"), [200]),
        (head("GET", "/api/json") + b"\r\n", [200]),
        (head("GET", "/api/json") + HALF_HEAD, [200, 408]),
        (UNREAD, [404]),
        (UNREAD + b"x", [404]),
        (head("POST", "/api/none", "transfer-encoding: chunked") + b"5\r\nab", [404]),
        (head("POST", "/api/none", "transfer-encoding: chunked") + b"1\r\na\r\n0\r\nx: 1\r\n", [404]),
    ],
    ids=[
        *("silent", "half a head", "half a line", "a blank line", "used", "a blank line behind"),
        *("half a head behind", "no body", "a byte of a body", "half a chunk", "half a trailer"),
    ],
)
def test_every_connection_comes_to_an_end(hasty, sent, found):
    with connect(hasty.port) as connection:
        connection.sendall(sent)

        assert found == statuses(read_all(connection))


@pytest.mark.parametrize("piece", [b"\r\n", b"x: 1\r\n"], ids=["blank lines", "header lines"])
def test_bytes_that_complete_nothing_buy_no_time(hasty, piece):
    """One piece every 0.2 s, for a deadline of 0.6 s."""
    with connect(hasty.port) as connection:
        connection.settimeout(0.2)
        connection.sendall(HALF_HEAD if piece != b"\r\n" else piece)
        reply, pieces = b"", 0
        while not reply and pieces < 50:
            connection.sendall(piece)
            pieces += 1
            with contextlib.suppress(TimeoutError):
                reply = connection.recv(65536)

    assert [408] == statuses(reply)


def test_a_late_second_head_is_a_408_behind_the_first_reply(hasty):
    with connect(hasty.port) as connection:
        connection.sendall(head("GET", "/api/events?count=10&gap=0.1"))
        read_until(connection, b"data: 0")
        connection.sendall(HALF_HEAD)
        replies = read_all(connection)

    assert [408] == statuses(replies)
    assert replies.index(b"data: 9\n\n\r\n0\r\n\r\n") < replies.index(b"HTTP/1.1 408 ")


def test_a_connection_that_was_used_outlives_the_time_for_a_head(hasty):
    with connect(hasty.port) as connection:
        for _ in range(2):
            connection.sendall(head("GET", "/api/json"))
            assert read_until(connection, b"}")
            time.sleep(0.9)


@pytest.mark.parametrize("drip", [False, True], ids=["nothing", "a byte now and then"])
def test_a_client_that_hardly_reads_its_replies_is_cut(hasty, drip):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", hasty.port))
        connection.sendall(head("GET", "/api/binary") * 16)
        assert connection.recv(1)
        before = connections_of(hasty)

        def is_cut():
            time.sleep(0.1)
            if drip:
                with contextlib.suppress(ConnectionResetError):
                    connection.recv(1)
            return connections_of(hasty) < before

        assert wait_for(is_cut)


def test_replies_that_nobody_reads_do_not_pile_up(embedded_host):
    before = resident(embedded_host)
    connections = [connect(embedded_host.port) for _ in range(40)]
    try:
        for connection in connections:
            connection.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                connection.sendall(head("GET", "/api/binary") * 5000)
        assert http.get(f"{embedded_host.url}/api/json").is_success

        assert resident(embedded_host) - before < 150_000_000
    finally:
        for connection in connections:
            connection.close()


def test_many_pipelined_requests_are_all_answered(embedded_host):
    with connect(embedded_host.port) as connection:
        connection.sendall(head("GET", "/api/json") * 1000 + head("GET", "/api/json", "connection: close"))

        assert [200] * 1001 == statuses(read_all(connection))


def test_requests_that_come_before_their_turn_leave_a_pause_to_others(embedded_host):
    with connect(embedded_host.port) as connection:
        began = time.monotonic()
        connection.sendall(head("GET", "/api/json") * 100 + head("GET", "/api/json", "connection: close"))
        assert [200] * 101 == statuses(read_all(connection))

        # A loop's clock may be coarse: each pause ends a little early.
        assert 100 * PIPELINE_SECONDS / 2 < time.monotonic() - began


@pytest.mark.parametrize(
    "request_head", [head("GET", "/api/wait"), UNREAD], ids=["no body", "behind a reply"]
)
def test_trailers_are_bounded(embedded_host, request_head):
    """The request's own head is only there to have a connection that was used before."""
    before = resident(embedded_host)
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "transfer-encoding: chunked") + b"1\r\na\r\n0\r\n")
        sent = send_until_cut(connection, b"x-trailer: " + b"t" * 8000 + b"\r\n", 50_000_000)

    assert sent < 50_000_000
    assert resident(embedded_host) - before < 20_000_000


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\n" * 3, b"0\r\n" + b"x: y\r\n" * 20_000, b"0\r\n\0: y\r\n\r\n"],
    ids=["chunk", "lines", "name"],
)
def test_what_is_no_http_behind_a_reply_closes_the_connection_without_a_word(embedded_host, rest):
    """Neither to the client nor in the log, where a traceback for each would be most of it."""
    before = embedded_host.log()
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/none", "transfer-encoding: chunked") + b"1\r\na\r\n")
        replies = read_until(connection, b"}")
        with contextlib.suppress(OSError):
            connection.sendall(rest)
        with contextlib.suppress(ConnectionResetError):
            replies += read_all(connection)

    assert [404] == statuses(replies)
    assert "Traceback" not in embedded_host.log().removeprefix(before)


# host, authorization, content-type, and for a body transfer-encoding, are lines, too.
@pytest.mark.parametrize(
    ("lines", "words"), [(197, "headers"), (198, "headers"), (998, "headers"), (50_000, "too long")], ids=str
)
def test_a_head_of_many_lines_is_a_431_and_the_last_one_on_its_connection(embedded_host, lines, words):
    """Kept open, the connection would keep them until another request has come."""
    with connect(embedded_host.port) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(head("GET", "/api/json", *["x:"] * lines))
        reply = read_all(connection)

    assert [431] == statuses(reply)
    assert words in reply.decode()


@pytest.mark.parametrize(("lines", "status"), [(196, 200), (197, 400), (5_000, 400)])
def test_trailers_are_read_up_to_two_hundred_lines_with_the_heads(embedded_host, lines, status):
    before = seen(embedded_host, "upload_began")
    with connect(embedded_host.port) as connection:
        begun = head("POST", "/api/upload", "transfer-encoding: chunked", "x-note: 1") + b"1\r\na\r\n"
        connection.sendall(begun)
        assert wait_for(lambda: before < seen(embedded_host, "upload_began"))
        connection.sendall(b"0\r\n" + b"x:\r\n" * lines + b"\r\n")

        assert [status] == statuses(read_until(connection, b"}"))


def test_a_small_trailer_passes_and_is_no_header(embedded_host):
    before = seen(embedded_host, "upload_began")
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "transfer-encoding: chunked"))
        connection.sendall(b"3\r\nabc\r\n0\r\nx-note: 1\r\n\r\n")

        assert read_until(connection, b"}").endswith(b'{"total":3,"whole":false}')
    assert before == seen(embedded_host, "upload_began")


def test_a_head_without_end_is_cut_before_it_is_large(embedded_host):
    before = resident(embedded_host)
    with connect(embedded_host.port) as connection:
        connection.sendall(HALF_HEAD)
        send_until_cut(connection, b"x-head: " + b"h" * 8000 + b"\r\n", 20_000_000)

    assert resident(embedded_host) - before < 20_000_000


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES - 100, MAX_HEAD_BYTES + 100])
def test_a_large_head_in_pieces_is_a_431_on_both_sides_of_the_limit(embedded_host, size):
    lines = b"".join(b"x-%04d: %s\r\n" % (number, b"h" * 989) for number in range(size // 1000))
    with connect(embedded_host.port) as connection:
        for start in range(0, len(lines), 8000):
            connection.sendall((HALF_HEAD if start == 0 else b"") + lines[start : start + 8000])
            time.sleep(0.01)
        connection.sendall(b"x-end: " + b"h" * (size % 1000) + b"\r\n\r\n")
        reply = read_until(connection, b"\r\n\r\n")

    assert [431] == statuses(reply)


@pytest.mark.parametrize(
    "upload",
    [
        head("POST", "/api/upload", "content-length: 3") + b"abc",
        head("POST", "/api/upload", "transfer-encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
def test_requests_behind_a_body_are_answered_wherever_their_bytes_are_split(embedded_host, upload):
    requests = (
        upload + head("GET", "/api/json") + b"\r\n" + upload + head("GET", "/api/json", "connection: close")
    )
    for cut in range(1, len(requests), 9):
        with connect(embedded_host.port) as connection:
            connection.sendall(requests[:cut])
            time.sleep(0.002)
            connection.sendall(requests[cut:])

            assert [200] * 4 == statuses(read_all(connection)), cut


def test_what_is_pipelined_behind_a_long_reply_is_bounded(embedded_host):
    with connect(embedded_host.port) as connection:
        connection.sendall(head("GET", "/api/events?count=1000&gap=0.1"))
        read_until(connection, b"data: 0")
        connection.sendall(HALF_HEAD)
        sent = send_until_cut(connection, b"x-more: " + b"h" * 8000 + b"\r\n", 50_000_000)

    assert MAX_HEAD_BYTES < sent + 9000
    assert sent < 50_000_000


def test_a_client_that_leaves_is_noticed_behind_what_it_pipelined(embedded_host):
    before = seen(embedded_host, "wait_disconnected")
    with connect(embedded_host.port) as connection:
        connection.sendall(head("GET", "/api/wait") + head("GET", "/api/json") * 3)
        time.sleep(0.2)

    assert wait_for(lambda: before + 1 == seen(embedded_host, "wait_disconnected"))


def test_a_body_that_was_not_wanted_is_never_taken_for_a_request(embedded_host):
    body = head("GET", "/api/json") * 3
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/none", f"content-length: {len(body)}", "connection: close"))
        time.sleep(0.1)
        connection.sendall(body)

        assert [404] == statuses(read_all(connection))


@pytest.mark.parametrize("body", [b"zz\r\n", b"2\r\nab", b"2\r\nabc\r\n", b"-1\r\n"])
def test_a_chunk_that_is_none_ends_the_upload(hasty, body):
    with connect(hasty.port) as connection:
        connection.sendall(head("POST", "/api/upload", "transfer-encoding: chunked") + b"1\r\na\r\n")
        time.sleep(0.1)
        connection.sendall(body + b"zz\r\nzz\r\n")

        assert [400] == statuses(read_all(connection))


@pytest.mark.parametrize(
    ("size", "count", "taken"),
    [(2, 10_000, True), (32, 20_000, True), (2, 40_000, False), (16, 400_000, False)],
    ids=["few small ones", "many larger ones", "many small ones", "very many"],
)
def test_chunks_may_have_more_framing_than_a_quarter_of_their_bytes_up_to_a_bound(
    embedded_host, size, count, taken
):
    """Chunks of two bytes cost fifty times as much as others."""
    piece = (b"%x\r\n%s\r\n" % (size, b"a" * size)) * 1000
    with connect(embedded_host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "transfer-encoding: chunked"))
        send_until_cut(connection, piece, len(piece) * count // 1000)
        reply = b""
        with contextlib.suppress(OSError):
            connection.sendall(b"0\r\n\r\n")
            reply = read_all(connection) if not taken else read_until(connection, b"}")

    assert taken == reply.endswith(b'{"total":%d,"whole":false}' % (size * count))


@pytest.mark.parametrize("framing", ["content-length: 1000", "transfer-encoding: chunked"])
def test_a_reply_ends_before_a_body_that_nobody_reads_and_what_still_comes_is_passed_over(hasty, framing):
    with connect(hasty.port) as connection:
        connection.sendall(head("POST", "/api/none", framing) + b"2\r\nab\r\n")
        assert [404] == statuses(read_all(connection))
        # The connection is open: else the second one would meet its reset.
        for _ in range(3):
            connection.sendall(b"2\r\nab\r\n")
            time.sleep(0.05)


def test_garbage_behind_a_request_is_not_answered_within_its_reply(embedded_host):
    with connect(embedded_host.port) as connection:
        connection.sendall(head("GET", "/api/events?count=5&gap=0.1"))
        read_until(connection, b"data: 0")
        connection.sendall(b"\0\1\2\r\n\r\n")
        rest = read_all(connection)

    assert rest.index(b"data: 4\n\n\r\n0\r\n\r\n") < rest.index(b"HTTP/1.1 400 ")


def test_an_upgrade_is_ignored_wherever_its_bytes_are_split(embedded_host):
    body = b"\r\nupgrade: h2c\r\n\r\nGET / HTTP/"
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"content-length: {len(body)}"]
    request = head("POST", "/api/json", *lines) + body
    for cut in range(1, len(request), 7):
        with connect(embedded_host.port) as connection:
            connection.sendall(request[:cut])
            time.sleep(0.002)
            connection.sendall(request[cut:])
            first = read_until(connection, b"}")
            connection.sendall(head("GET", "/api/json", "connection: close"))
            replies = first + read_all(connection)

        assert ([200, 200], True) == (statuses(replies), json.dumps(body.decode()).encode() in first), cut


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_torn_reply_never_ends_like_a_whole_one(embedded_host, version):
    request = f"GET /api/fail/after HTTP/{version}\r\nhost: test\r\n\r\n".encode()
    with connect(embedded_host.port) as connection:
        connection.sendall(request)
        reply = b""
        broken = False
        try:
            while more := connection.recv(65536):
                reply += more
        except ConnectionResetError:
            broken = True

    assert (version == "1.0") == broken
    assert not reply.endswith(b"0\r\n\r\n")


def test_a_stream_to_an_http_1_0_client_ends_with_the_connection(embedded_host):
    with connect(embedded_host.port) as connection:
        connection.sendall(b"GET /api/events?count=2&gap=0 HTTP/1.0\r\n\r\n")
        reply = read_all(connection)

    assert (b"HTTP/1.0 200 ", b"data: 0\n\ndata: 1\n\n") == (reply[:13], reply.partition(b"\r\n\r\n")[2])
    assert b"chunked" not in reply


def test_the_longest_idle_connection_makes_room_for_a_new_one(patient):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(patient.port)) for _ in range(10)]
        for _ in range(3):
            assert http.get(f"{patient.url}/api/json").is_success

        assert b"" == read_all(silent[0])
        silent[9].sendall(head("GET", "/api/json"))
        assert read_until(silent[9], b"}").startswith(b"HTTP/1.1 200 ")


def test_a_client_is_turned_away_where_all_connections_are_in_use(patient):
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            busy = stack.enter_context(connect(patient.port))
            busy.sendall(head("GET", "/api/events?count=1000&gap=0.1"))
            read_until(busy, b"data: 0")
        answer = http.get(f"{patient.url}/api/json")

    assert (503, "gateway_overloaded") == (answer.status_code, answer.json()["error"]["code"])
    assert answer.headers["retry-after"]
    assert wait_for(lambda: http.get(f"{patient.url}/api/json").is_success)


@contextlib.contextmanager
def refused(host, request: bytes, number: int):
    """So many connections that have each sent `request`, one after the other."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(connect(host.port)) for _ in range(number)]
        for each in found:
            each.sendall(request)
        yield found


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_many_refusals_wait_for_each_other_and_nobody_else_for_them(loop):
    """Three are answered at once, and five of ten places may be taken by those that wait: here, for ever."""
    slow = {"REFUSALS_AT_ONCE": 3, "REFUSAL_SECONDS": 1000.0, "LONGEST_REFUSAL": 1000.0}
    settings = {"TEST_CONNECTIONS": json.dumps(slow), "TEST_MAX_CONNECTIONS": "10"}
    wrong, garbage = head("GET", "/api/status/401"), b"no HTTP\r\n\r\n"
    with start_embedded_host(SAMPLE_APP, settings, loop=loop) as host:
        before = connections_of(host)
        with refused(host, wrong, 2) as answered, refused(host, garbage, 1) as [malformed]:
            assert [[401], [401], [400]] == [
                statuses(read_until(each, b"}")) for each in (*answered, malformed)
            ]
        with refused(host, wrong, 2) as waiting, refused(host, garbage, 2) as malformed:
            # What comes later is answered, and they still wait.
            assert http.get(f"{host.url}/api/json").is_success
            assert http.get(f"{host.url}/api/none").status_code == 404
            for each in (*waiting, *malformed):
                each.setblocking(False)
                with pytest.raises(BlockingIOError):
                    each.recv(1)
            with refused(host, wrong, 2) as [fifth, sixth]:
                ready, _, _ = select.select([fifth, sixth], [], [], PATIENCE)
                assert 1 == len(ready)
        # Those that have left give their places back.
        assert wait_for(lambda: connections_of(host) <= before)
        with refused(host, wrong, 6) as again:
            ready, _, _ = select.select(again, [], [], PATIENCE)
            assert 1 == len(ready)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_few_descriptors_mean_fewer_connections_and_nothing_worse(loop):
    """46 of 256: two for each, 164 set aside."""
    with start_embedded_host(SAMPLE_APP, {"TEST_DESCRIPTORS": "256"}, loop=loop) as host:
        with contextlib.ExitStack() as stack:
            for _ in range(46):
                busy = stack.enter_context(connect(host.port))
                busy.sendall(head("GET", "/api/events?count=1000&gap=0.1"))
                read_until(busy, b"\r\n\r\n")
            crowd = [stack.enter_context(connect(host.port)) for _ in range(250)]
            replies = b""
            for each in crowd:
                # Those above 100 get no answer.
                with contextlib.suppress(ConnectionError):
                    replies += read_all(each)
            assert {503} == set(statuses(replies))
            assert len(statuses(replies)) >= 100
            assert read_until(busy, b"data: 9")

        assert wait_for(lambda: http.get(f"{host.url}/api/json").is_success)
        log = host.log()
    assert "The limit on open files (ulimit -n) has room for 46 connections instead of 1000." in log
    assert "Traceback" not in log


def test_a_crowd_of_dead_connections_leaves_nothing_behind(hasty):
    with contextlib.suppress(httpx.HTTPError):
        http.get(f"{hasty.url}/api/json")
    assert wait_for(lambda: connections_of(hasty) <= 3)
    before = connections_of(hasty)
    kinds = [b"", b"\r\n", b"GE", HALF_HEAD, UNREAD, UNREAD + b"x", head("GET", "/api/json") + b"\r\n"]
    with contextlib.ExitStack() as stack:
        for number in range(210):
            stack.enter_context(connect(hasty.port)).sendall(kinds[number % len(kinds)])

        assert wait_for(lambda: connections_of(hasty) <= before)


def test_an_upload_under_way_finishes_after_the_first_signal():
    with start_embedded_host(SAMPLE_APP, grace_seconds=600) as host, connect(host.port) as connection:
        connection.sendall(head("POST", "/api/upload", "content-length: 6", "x-note: 1") + b"abc")
        assert wait_for(lambda: seen(host, "upload_began") == 1)
        host.process.terminate()
        assert wait_for(lambda: refuses(host.port))
        connection.sendall(b"def")

        assert read_all(connection).endswith(b'{"total":6,"whole":false}')
        # Long before the grace is over.
        assert 0 == host.process.wait(PATIENCE)
