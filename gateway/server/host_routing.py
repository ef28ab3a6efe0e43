"""The Functions host's routing rules, without I/O: which function answers a method and a path.

Rules (ASP.NET's `TemplateMatcher` and the host's `FunctionMetadataManager`):
* Routes are tried in the order of their functions' names, case-insensitively; the first match wins,
  however general its template is. A method that a route does not list is no match for it.
* A template is made of literal segments, `{p}`, `{p?}`, `{p:int}`, `{p:int?}` and a last `{*rest}`.
  Literals match case-insensitively, one trailing slash is ignored, an empty segment matches nothing.
* Parameters arrive decoded but for %2F. An absent optional parameter or rest is left out.
* Routes that begin with `admin` or `runtime` belong to the host and are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

#: What a route without a method list answers.
ALL_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT"})

#: Beginnings of templates that the host keeps to itself (ScriptHost.ValidateHttpFunction).
RESERVED = ("admin", "runtime")

PLACEHOLDER = re.compile(r"\{(?P<rest>\*?)(?P<name>\w+)(?P<integer>:int)?(?P<optional>\??)\}")
ENCODED_SLASH = re.compile("(%2[fF])")
SLASHES = re.compile("//+")
#: More segments than come before a last parameter.
LONGEST_PREFIX = 8
#: What `{p:int}` takes: .NET's int.TryParse reads a 32-bit number with an optional sign.
INTEGER = re.compile(r"[+-]?[0-9]+")
INT_MIN, INT_MAX = -(2**31), 2**31 - 1


class RouteError(ValueError):
    """A route that the Functions host would not load."""


class Segment(msgspec.Struct, frozen=True):
    """One part of a template between two slashes."""

    #: The literal in lower case, or the parameter's name.
    text: str
    parameter: bool = False
    optional: bool = False
    integer: bool = False
    #: `{*rest}`: everything that is left, which may be nothing.
    rest: bool = False


class HostRoute(msgspec.Struct, frozen=True):
    """One HTTP function's route, prefix included."""

    function: str
    template: str
    methods: frozenset[str]
    segments: tuple[Segment, ...]
    pattern: re.Pattern[str]

    @property
    def literal(self) -> bool:
        """True where the template holds no parameter."""
        return not any(segment.parameter for segment in self.segments)

    def extract(self, path: str) -> dict[str, str] | None:
        """The parameters that `path` gives this route, or None where the route does not match it."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        names = [segment for segment in self.segments if segment.parameter]
        params: dict[str, str] = {}
        for segment, value in zip(names, found.groups(), strict=True):
            if not value:
                continue
            if segment.integer and not is_int32(value):
                return None
            params[segment.text] = value
        return params


class Match(NamedTuple):
    """The route that answers, and its parameters."""

    route: HostRoute
    params: dict[str, str]


def is_int32(value: str) -> bool:
    """Whether .NET reads `value` as a 32-bit integer."""
    return INTEGER.fullmatch(value) is not None and INT_MIN <= int(value) <= INT_MAX


def make_route(
    function: str, template: str | None, methods: Iterable[str] | None = None, prefix: str = ""
) -> HostRoute:
    """The route of one function; no template means the function's name, no methods mean all.

    Raises RouteError for a reserved route or a template with parts this module does not know.
    """
    own = (template or "").strip("/") or function
    if own.lower().startswith(RESERVED):
        raise RouteError(f"{function}: the route {own!r} conflicts with the Functions host's own routes")
    whole = "/".join(part for part in (prefix.strip("/"), own) if part)
    segments = tuple(parse_segment(part, function) for part in whole.split("/"))
    if any(segment.rest or segment.optional for segment in segments[:-1]):
        raise RouteError(f"{function}: only the last segment of {whole!r} may be optional")
    upper = frozenset(method.upper() for method in methods or ())
    return HostRoute(function, whole, upper or ALL_METHODS, segments, compile_pattern(segments))


def read_route(function: str, bindings: Iterable[str], prefix: str = "") -> HostRoute:
    """The route in a function's raw bindings, JSON texts as `get_raw_bindings()` returns them.

    Raises RouteError as make_route does, and where no binding is an HTTP trigger.
    """
    for raw in bindings:
        binding = json.loads(raw)
        if str(binding.get("type", "")).lower() == "httptrigger":
            return make_route(function, binding.get("route"), binding.get("methods"), prefix)
    raise RouteError(f"{function}: no HTTP trigger")


def parse_segment(text: str, function: str) -> Segment:
    """One segment of a template; raises RouteError where the host knows more than this module."""
    if "{" not in text and "}" not in text:
        if not text:
            raise RouteError(f"{function}: the route holds an empty segment")
        return Segment(text.lower())
    found = PLACEHOLDER.fullmatch(text)
    if found is None:
        raise RouteError(f"{function}: {text!r} is not one of {{p}}, {{p?}}, {{p:int}}, {{*rest}}")
    return Segment(
        found["name"],
        parameter=True,
        optional=bool(found["optional"]),
        integer=bool(found["integer"]),
        rest=bool(found["rest"]),
    )


def compile_pattern(segments: Sequence[Segment]) -> re.Pattern[str]:
    """A pattern for whole paths with one group for each parameter."""
    parts: list[str] = []
    for segment in segments:
        if segment.rest:
            # A rest runs to the end of the path, trailing slash included, but cannot begin with "//".
            parts.append("(?:/(?!/)(.*))?")
        elif segment.parameter:
            parts.append("(?:/([^/]+))?" if segment.optional else "/([^/]+)")
        else:
            parts.append("/" + re.escape(segment.text))
    tail = "" if segments[-1].rest else "/?"
    return re.compile("".join(parts) + tail, re.IGNORECASE | re.DOTALL)


def order_routes(routes: Iterable[HostRoute]) -> list[HostRoute]:
    """The order in which the host tries routes."""
    return sorted(routes, key=lambda route: route.function.lower())


class HostRouter:
    """Answers `match` in the host's order; a literal path costs one dict lookup."""

    def __init__(self, routes: Iterable[HostRoute]) -> None:
        self.routes = tuple(order_routes(routes))
        #: Routes with parameters, in order: the candidates of every path that no literal names.
        self.general = tuple(route for route in self.routes if not route.literal)
        #: For each literal path all routes that match it, in order, so that a route with parameters
        #: whose name sorts first still wins over the literal.
        self.literal: dict[str, tuple[HostRoute, ...]] = {}
        for route in self.routes:
            if route.literal:
                path = "/" + "/".join(segment.text for segment in route.segments)
                self.literal[path] = tuple(r for r in self.routes if r.extract(path) is not None)

    def match(self, method: str, path: str) -> Match | None:
        """The first route in name order that takes `method` and `path` (see `decode_path`)."""
        key = path.lower().removesuffix("/")
        for route in self.literal.get(key, self.general):
            if method in route.methods:
                if route.literal:
                    return Match(route, {})
                params = route.extract(path)
                if params is not None:
                    return Match(route, params)
        return None

    def allowed(self, path: str) -> frozenset[str]:
        """Every method that some route takes for this path."""
        return frozenset[str]().union(
            *(route.methods for route in self.routes if route.extract(path) is not None)
        )


def decode_path(raw_path: bytes) -> str:
    """A request's path as the host matches it: all but %2F decoded, then dot segments resolved.

    `raw_path` is the path as it came, without query.
    """
    path = raw_path.decode("latin-1")
    if "%" in path:
        # The odd elements are the encoded slashes; Kestrel leaves them as they were written.
        parts = ENCODED_SLASH.split(path)
        parts[::2] = map(unquote, parts[::2])
        path = "".join(parts)
    if "/." in path:
        path = resolve_dots(path)
    return path


def decoded(scope: Mapping[str, Any], value: str) -> str:
    """The value of a path's last parameter, which hosts decode but for its slashes, decoded once.

    In it `%2F` and `%252F` look alike, so that what was written is looked up in the path as it came.
    """
    if "%" not in value:
        return value
    parts = scope["raw_path"].decode("latin-1").split("/")
    for first in range(1, min(len(parts), LONGEST_PREFIX)):
        written = "/".join(parts[first:])
        if value == collapse_slashes(decode_path(f"/{written}".encode("latin-1")))[1:]:
            return unquote(written)
    return value.replace("%2F", "/").replace("%2f", "/")


def collapse_slashes(path: str) -> str:
    """`path` with every run of slashes made one."""
    return SLASHES.sub("/", path) if "//" in path else path


def resolve_dots(path: str) -> str:
    """`path` without `.` and `..` segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    parts = path.split("/")
    for part in parts[1:]:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    if parts[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def find_ambiguous(routes: Iterable[HostRoute]) -> list[tuple[HostRoute, HostRoute]]:
    """Pairs of routes that some request could reach both of, the winner (by name order) first."""
    return [
        (first, second)
        for first, second in combinations(order_routes(routes), 2)
        if first.methods & second.methods and overlap(first.segments, second.segments)
    ]


def overlap(first: Sequence[Segment], second: Sequence[Segment]) -> bool:
    """Whether one path exists that both sequences of segments match."""
    if not first or not second:
        return all(segment.optional or segment.rest for segment in (*first, *second))
    ours, theirs = first[0], second[0]
    if ours.rest or theirs.rest:
        return True
    # An optional segment is the last one; left out, the other side must be able to end here too.
    if (ours.optional and overlap((), second)) or (theirs.optional and overlap(first, ())):
        return True
    if ours.parameter and theirs.parameter:
        compatible = True
    elif ours.parameter or theirs.parameter:
        parameter, literal = (ours, theirs) if ours.parameter else (theirs, ours)
        compatible = not parameter.integer or is_int32(literal.text)
    else:
        compatible = ours.text == theirs.text
    return compatible and overlap(first[1:], second[1:])
