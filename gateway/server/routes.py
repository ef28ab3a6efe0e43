"""Every route, as data: what `function_app.py` registers and what wrong methods are judged by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

import msgspec

from gateway.protocol.endpoints import ENDPOINTS, Endpoint
from gateway.protocol.operation import Operation
from gateway.protocol.operations import OPERATIONS

Page = Literal["live", "ready", "deployment", "everything_else"]

#: OpenAI's form with and without /v1, and Azure's v1 form.
_PREFIXES = {"v1": "v1/", "bare": "", "azure_v1": "openai/v1/"}
#: Azure's form that names the deployment: a model here, whose name may hold slashes.
_DEPLOYMENTS = "openai/deployments/{*rest}"
#: An operation's path may be the end of another's.
_LONGEST_FIRST = sorted(OPERATIONS, key=lambda operation: len(operation.path), reverse=True)
#: Our own names and LiteLLM's.
_HEALTH: dict[str, Page] = {
    "healthz": "live",
    "readyz": "ready",
    "health/liveliness": "live",
    "health/liveness": "live",
    "health/readiness": "ready",
}
_ALL_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


class Route(msgspec.Struct, frozen=True):
    """One function: its name, its route template, its methods and what answers it."""

    name: str
    template: str
    methods: tuple[str, ...]
    target: Operation | Endpoint | Page


def routes() -> Iterator[Route]:
    """All routes. The Functions host tries them in the order of their names."""
    for form, prefix in _PREFIXES.items():
        for operation in OPERATIONS:
            name = f"{operation.path.replace('/', '_')}_{form}"
            yield Route(name, prefix + operation.path, ("POST",), operation)
    yield Route("deployments_azure", _DEPLOYMENTS, ("POST",), "deployment")
    for endpoint in ENDPOINTS:
        for name, template in endpoint.routes.items():
            yield Route(name, template, endpoint.methods, endpoint)
    for path, page in _HEALTH.items():
        yield Route(path.replace("/", "_"), path, ("GET", "HEAD"), page)
    # The name sorts last, so that this gets what no other route takes.
    yield Route("zz_everything_else", "{*path}", _ALL_METHODS, "everything_else")


def split_deployment(rest: str) -> tuple[Operation, str] | None:
    """The operation and the model in what follows `/openai/deployments/`, decoded; None where one is missing.

    Judges as the hosts do: without regard to case, and to one slash at the end.
    """
    path = rest.removesuffix("/")
    for operation in _LONGEST_FIRST:
        model = path[: -len(operation.path) - 1]
        if model.strip("/") == model and model and path.lower().endswith(f"/{operation.path}"):
            return operation, model
    return None


def allowed_methods(path: str) -> tuple[str, ...]:
    """The methods that some route takes for `path`; empty where there is no such path.

    Judges as the hosts do: without regard to case, and to one slash at the end.
    """
    return tuple(
        sorted({method for pattern, methods in _patterns() if pattern.fullmatch(path) for method in methods})
    )


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    known = [route for route in routes() if route.target != "everything_else"]
    return tuple((_pattern(route.template), route.methods) for route in known)


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape("/" + template)
    operations = "|".join(re.escape(operation.path) for operation in OPERATIONS)
    rest = escaped.replace(re.escape("/{*model}"), "(?:/.*)?")
    return re.compile(rest.replace(re.escape("{*rest}"), f"(?!/).+/(?:{operations})") + "/?", re.IGNORECASE)
