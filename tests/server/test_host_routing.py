from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.host_routing import (
    ALL_METHODS,
    HostRouter,
    RouteError,
    collapse_slashes,
    decode_path,
    decoded,
    find_ambiguous,
    make_route,
    read_route,
)


def match(routes, method, path):
    """The name of the function that answers and its parameters, or None."""
    found = HostRouter(make_route(*route) for route in routes).match(method, path)
    return found and (found.route.function, found.params)


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("v1/x", "/v1/x", {}),
        ("v1/x", "/V1/X/", {}),
        ("/v1/x/", "/v1/x", {}),
        ("v1/x", "/v1/x//", None),
        ("v1/x", "/v1/xy", None),
        ("v1/{p}", "/v1/Ab", {"p": "Ab"}),
        ("v1/{p}", "/v1/Ab/", {"p": "Ab"}),
        ("v1/{p}", "/v1/", None),
        ("v1/{p}", "/v1/a/b", None),
        ("v1/{p}/x", "/v1/a/x", {"p": "a"}),
        ("v1/{p?}", "/v1", {}),
        ("v1/{p?}", "/v1/", {}),
        ("v1/{p?}", "/v1/a", {"p": "a"}),
        ("v1/{p:int}", "/v1/12", {"p": "12"}),
        ("v1/{p:int}", "/v1/-12", {"p": "-12"}),
        ("v1/{p:int}", "/v1/1.5", None),
        ("v1/{p:int}", "/v1/2147483648", None),
        ("v1/{p:int?}", "/v1", {}),
        ("v1/{*p}", "/v1", {}),
        ("v1/{*p}", "/v1/", {}),
        ("v1/{*p}", "/v1/a/b", {"p": "a/b"}),
        ("v1/{*p}", "/v1/a//b/", {"p": "a//b/"}),
        ("v1/{*p}", "/v1//a", None),
        ("{*p}", "/", {}),
        ("{*p}", "/a\nb", {"p": "a\nb"}),
        ("{*p}", "//a", None),
        ("a.b+c", "/a.b+c", {}),
        ("a.b+c", "/aXbbc", None),
    ],
)
def test_templates_match_as_on_the_host(template, path, params):
    assert (params if params is None else ("f", params)) == match([("f", template)], "GET", path)


def test_the_name_that_sorts_first_wins_over_a_literal():
    routes = [("responses_tokens", "r/input_tokens"), ("Responses_get", "r/{id}")]

    assert ("Responses_get", {"id": "input_tokens"}) == match(routes, "GET", "/r/input_tokens")


def test_a_literal_wins_where_its_name_sorts_first():
    routes = [("b_get", "r/{id}"), ("a_tokens", "r/input_tokens")]

    assert ("a_tokens", {}) == match(routes, "GET", "/r/input_tokens")


def test_a_method_that_is_not_listed_is_no_match():
    routes = [("a", "x", ["POST"]), ("b", "{p}", ["GET"])]

    assert ("b", {"p": "x"}) == match(routes, "GET", "/x")
    assert ("a", {}) == match(routes, "POST", "/x")
    assert match(routes, "PUT", "/x") is None


def test_no_methods_mean_all():
    assert ALL_METHODS == make_route("f", "x").methods


def test_no_template_means_the_functions_name():
    assert "api/f" == make_route("f", "", prefix="api").template


def test_the_allowed_methods_of_a_path_are_those_of_all_its_routes():
    router = HostRouter(
        [make_route("a", "x", ["POST"]), make_route("b", "{p}", ["get"]), make_route("c", "y")]
    )

    assert {"GET", "POST"} == router.allowed("/x")


def test_a_route_is_read_from_raw_bindings():
    bindings = [
        '{"type": "http", "name": "$return"}',
        '{"type": "httpTrigger", "methods": ["POST"], "route": "v1/x"}',
    ]

    route = read_route("f", bindings, "/api/")

    assert ("api/v1/x", {"POST"}) == (route.template, route.methods)


def test_a_function_without_http_trigger_has_no_route():
    with pytest.raises(RouteError):
        read_route("f", ['{"type": "timerTrigger"}'])


@pytest.mark.parametrize(
    "template",
    [
        "admin",
        "Admin/x",
        "administrators",
        "runtime/x",
        "a//b",
        "a/{p?}/b",
        "{*p}/b",
        "a-{p}",
        "{p:alpha}",
        "{p",
    ],
)
def test_routes_that_the_host_would_not_load_are_refused(template):
    with pytest.raises(RouteError):
        make_route("f", template)


def test_a_prefix_does_not_hide_a_reserved_route():
    with pytest.raises(RouteError):
        make_route("f", "admin", prefix="api")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/models", "/v1/models"),
        (b"/a%20b", "/a b"),
        (b"/%C3%A9", "/\u00e9"),
        (b"/a%2Fb%2fc", "/a%2Fb%2fc"),
        (b"/a%252Fb", "/a%2Fb"),
        (b"/a/./b/../c", "/a/c"),
        (b"/a/%2e%2e/b", "/b"),
        (b"/a/..", "/"),
        (b"/../../a", "/a"),
        (b"/a/.b", "/a/.b"),
        (b"/a%", "/a%"),
        (b"*", "*"),
    ],
)
def test_paths_are_decoded_as_on_the_host(raw, path):
    assert path == decode_path(raw)


def test_slashes_collapse():
    assert "/a/b/" == collapse_slashes("//a///b//")


@pytest.mark.parametrize(
    ("first", "second", "ambiguous"),
    [
        ("x", "x", True),
        ("x", "y", False),
        ("x", "X", True),
        ("x/{p}", "x/y", True),
        ("x/{p:int}", "x/y", False),
        ("x/{p:int}", "x/7", True),
        ("x/{p}", "x", False),
        ("x/{p?}", "x", True),
        ("x/{p?}", "x/y/z", False),
        ("x/{*p}", "x", True),
        ("x/{*p}", "y", False),
        ("{*p}", "a/b/{c}", True),
        ("{a}/x", "y/{b}", True),
        ("{a}/x", "y/z", False),
    ],
)
def test_ambiguous_routes_are_found(first, second, ambiguous):
    routes = [make_route("b", second), make_route("a", first)]

    assert ([("a", "b")] if ambiguous else []) == [
        (x.function, y.function) for x, y in find_ambiguous(routes)
    ]


def test_routes_with_different_methods_are_not_ambiguous():
    assert [] == find_ambiguous([make_route("a", "x", ["GET"]), make_route("b", "x", ["POST"])])


SEGMENTS = st.sampled_from(["a", "b", "7", "{p}", "{p:int}"])
LAST = st.sampled_from(["a", "b", "7", "{p}", "{p:int}", "{p?}", "{*p}"])
TEMPLATES = st.builds(lambda most, last: "/".join([*most, last]), st.lists(SEGMENTS, max_size=2), LAST)
METHODS = st.sampled_from([["GET"], ["POST"], ["GET", "POST"]])
PATHS = st.lists(st.sampled_from(["a", "B", "7", "c", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(st.lists(st.tuples(TEMPLATES, METHODS), min_size=1, max_size=6), METHODS.map(lambda m: m[0]), PATHS)
def test_the_router_finds_what_trying_every_route_in_order_finds(definitions, method, path):
    routes = [make_route(f"f{n}", template, methods) for n, (template, methods) in enumerate(definitions)]
    expected = next(
        (
            (route, route.extract(path))
            for route in routes
            if method in route.methods and route.extract(path) is not None
        ),
        None,
    )

    assert expected == HostRouter(routes).match(method, path)


@given(TEMPLATES, TEMPLATES, PATHS)
def test_two_routes_that_match_one_path_are_ambiguous(first, second, path):
    routes = [make_route("a", first), make_route("b", second)]
    if all(route.extract(path) is not None for route in routes):
        assert 1 == len(find_ambiguous(routes))


@pytest.mark.parametrize(
    ("raw", "value", "expected"),
    [
        (b"/v1/models/a/b", "a/b", "a/b"),
        (b"/v1/models/a%2Fb", "a%2Fb", "a/b"),
        (b"/v1/models/a%2fb", "a%2fb", "a/b"),
        (b"/v1/models/a%252Fb", "a%2Fb", "a%2Fb"),
        (b"/v1/models/a%25252Fb", "a%252Fb", "a%252Fb"),
        (b"/api/openai/deployments/%C3%A9%2F1%25/chat/completions", "é%2F1%/chat/completions",
         "é/1%/chat/completions"),
        (b"//v1//models/a%252Fb", "a%2Fb", "a%2Fb"),
        (b"/v1/models/a%2Fb%2F", "something%2Felse", "something/else"),
    ],
)  # fmt: skip
def test_an_encoded_slash_is_decoded_once(raw, value, expected):
    assert expected == decoded({"raw_path": raw}, value)
