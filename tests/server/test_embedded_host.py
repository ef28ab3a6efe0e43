from __future__ import annotations

import azure.functions as func
import pytest

from gateway.server.embedded import MAX_HEADER_BYTES, EmbeddedHost, find_fault, read_route_prefix
from gateway.server.functions import Request, Response
from gateway.server.host_routing import RouteError


def make_functions(template, handler):
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    app.route(template)(handler)
    return app.get_functions()


async def answer(req: Request) -> Response:
    return Response()


def answer_in_a_thread(req: Request) -> Response:
    return Response()


def test_a_handler_that_is_not_async_is_refused():
    with pytest.raises(TypeError, match="answer_in_a_thread"):
        EmbeddedHost(make_functions("x", answer_in_a_thread))


def test_a_reserved_route_is_refused():
    with pytest.raises(RouteError):
        EmbeddedHost(make_functions("admin/x", answer))


def test_functions_without_http_trigger_are_left_out():
    app = func.FunctionApp()

    @app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
    async def hourly(timer: func.TimerRequest) -> None: ...

    assert {} == EmbeddedHost(app.get_functions()).handlers


@pytest.mark.parametrize(
    ("document", "prefix"),
    [
        ('{"version": "2.0"}', "api"),
        ('{"version": "2.0", "extensions": {"http": {"routePrefix": ""}}}', ""),
        ('{"version": "2.0", "extensions": {"http": {"routePrefix": "x/y"}}}', "x/y"),
    ],
)
def test_the_route_prefix_is_read_from_host_json(tmp_path, document, prefix):
    path = tmp_path / "host.json"
    path.write_text(document)

    assert prefix == read_route_prefix(path)


HOST = (b"host", b"a")


@pytest.mark.parametrize(
    ("path", "query", "headers", "status"),
    [
        (b"/" * 8000, b"a" * 192, [HOST], None),
        (b"/" * 8000, b"a" * 193, [HOST], 414),
        (b"/", b"a" * 60_000, [HOST], 414),
        (b"/", b"", [HOST, (b"x", b"a" * (MAX_HEADER_BYTES - 6))], None),
        (b"/", b"", [HOST, (b"x", b"a" * (MAX_HEADER_BYTES - 5))], 431),
        (b"/", b"", [HOST, *[(b"x", b"")] * 99], None),
        (b"/", b"", [HOST, *[(b"x", b"")] * 100], 431),
        (b"/", b"", [HOST, *[(b"x", b"")] * 990], 431),
        (b"/\x7f", b"", [HOST], None),
        (b"/\x80", b"", [HOST], 400),
    ],
    ids=[
        *("a target at the edge", "one beyond it", "a target far beyond"),
        *("headers at the edge", "a byte beyond it"),
        *("100 headers", "101 headers", "headers far beyond"),
        *("the last of ASCII", "no ASCII"),
    ],
)
def test_a_head_is_refused_beyond_the_bounds_of_the_functions_host(path, query, headers, status):
    scope = {
        "method": "GET",
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "http_version": "1.1",
    }
    fault = find_fault(scope)

    assert status == (fault and fault[1])
