"""Every route, as data: what `function_app.py` registers and what wrong methods are judged by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from gateway.protocol.endpoints import ENDPOINTS, Endpoint
from gateway.protocol.operation import Operation
from gateway.protocol.operations import OPERATIONS

Page = Literal["live", "ready", "everything_else"]

#: OpenAI's form with and without /v1, Azure's v1 form, and Azure's form that names the deployment.
_PREFIXES = {"v1": "v1/", "bare": "", "azure_v1": "openai/v1/", "azure": "openai/deployments/{model}/"}
#: Our own names and LiteLLM's.
_HEALTH: dict[str, Page] = {
    "healthz": "live",
    "readyz": "ready",
    "health/liveliness": "live",
    "health/liveness": "live",
    "health/readiness": "ready",
}
_ALL_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Route:
    """One function: its name, its route template, its methods and what answers it."""

    name: str
    template: str
    methods: tuple[str, ...]
    target: Operation | Endpoint | Page

    @property
    def azure_path(self) -> bool:
        """Whether the path names a deployment, as Azure's does."""
        return self.template.startswith("openai/deployments/")


def routes() -> Iterator[Route]:
    """All routes. The Functions host tries them in the order of their names."""
    for form, prefix in _PREFIXES.items():
        for operation in OPERATIONS:
            name = f"{operation.path.replace('/', '_')}_{form}"
            yield Route(name, prefix + operation.path, ("POST",), operation)
    for endpoint in ENDPOINTS:
        for name, template in endpoint.routes.items():
            yield Route(name, template, endpoint.methods, endpoint)
    for path, page in _HEALTH.items():
        yield Route(path.replace("/", "_"), path, ("GET", "HEAD"), page)
    # The name sorts last, so that this gets what no other route takes.
    yield Route("zz_everything_else", "{*path}", _ALL_METHODS, "everything_else")


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
    rest = escaped.replace(re.escape("/{*model}"), "(?:/.*)?")
    return re.compile(rest.replace(re.escape("{model}"), "[^/]+") + "/?", re.IGNORECASE)
