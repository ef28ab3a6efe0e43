"""Which operation a path means, and whether its api-version is one that exists there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from simulator.config import Account, Kind
from simulator.errors import resource_not_found, version_not_supported

#: Operations that are served, by the path below the deployment or /v1.
OPERATIONS: dict[str, Kind] = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "audio/speech": "speech",
    "moderations": "moderations",
}
#: Where the extensions of a deployment's chat were, and the first version without them.
EXTENSIONS = "extensions/"
EXTENSIONS_UNTIL = "2024-02-15"
#: Operations of OpenAI's platform that Azure does not have.
PLATFORM_ONLY = {"moderations"}


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is for."""

    style: Literal["dated", "v1", "platform"]
    kind: Kind
    #: The deployment, where the path names it.
    deployment: str | None
    #: The api-version as the texts of errors quote it.
    version: str
    #: Whether the path is that of the extensions, which take vision enhancements and `dataSources`.
    extensions: bool = False


def split_target(target: str) -> tuple[str, str]:
    """Path (still percent-encoded) and query string of a request target."""
    path, _, query = target.partition("?")
    return path, query


def style_of(path: str) -> Literal["azure", "platform"] | None:
    """The kind of account that a path below the account's own is meant for."""
    if path.startswith("/openai/"):
        return "azure"
    return "platform" if path.startswith("/v1/") else None


def resolve_azure(account: Account, method: str, path: str, query: str) -> Route:
    """The route of an Azure path. Raises Refusal as Azure answers what it does not know."""
    versions = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "api-version"]
    version = versions[0] if versions else ""
    if method != "POST":
        raise resource_not_found()
    if path.startswith("/openai/deployments/"):
        deployment, _, operation = path.removeprefix("/openai/deployments/").partition("/")
        extensions = operation.startswith(EXTENSIONS)
        kind = OPERATIONS.get(operation.removeprefix(EXTENSIONS))
        if extensions and (kind != "chat" or version[:10] >= EXTENSIONS_UNTIL):
            raise resource_not_found()
        # Speech has never left preview on dated paths.
        if kind is None or kind in PLATFORM_ONLY or version not in account.all_versions:
            raise resource_not_found()
        if kind == "speech" and not version.endswith("-preview"):
            raise resource_not_found()
        return Route("dated", kind, unquote(deployment), version, extensions)
    kind = OPERATIONS.get(path.removeprefix("/openai/v1/")) if path.startswith("/openai/v1/") else None
    if kind is None or kind in PLATFORM_ONLY:
        raise resource_not_found()
    if version not in ("", "v1", "preview"):
        raise version_not_supported()
    if kind in account.v1_preview_only and version != "preview":
        raise resource_not_found()
    return Route("v1", kind, None, version or "v1")
