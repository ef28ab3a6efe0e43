"""What will be called, as a table: a row for each member of each model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from gateway.config.deployment import Config, Deployment
from gateway.config.differences import describe_credential
from gateway.protocol.capabilities import Capabilities

_HEAD = ("MODEL", "MEMBER", "CALLS", "HOST", "API-VERSION", "CREDENTIAL", "ORDER", "LIMITS", "ADAPTED")


def table(config: Config) -> list[str]:
    """The lines of the table, a line for each alias after it."""
    rows = [_HEAD, *(_row(member) for group in config.models.values() for member in group)]
    if not any(row[-1] for row in rows[1:]):
        # Most configurations have no model whose calls are changed.
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return lines + [
        f"{name}: another name of {alias.model}{', not listed' if alias.hidden else ''}"
        for name, alias in config.aliases.items()
    ]


def _row(member: Deployment) -> Sequence[str]:
    url = next((target.url for target in member.targets.values()), "")
    limits = [f"{value} {unit}" for unit in ("rpm", "tpm") if (value := getattr(member, unit)) is not None]
    if member.max_parallel_requests is not None:
        limits.append(f"{member.max_parallel_requests} in flight")
    return (
        member.model_name,
        member.id,
        f"{member.provider}/{member.name}",
        urlsplit(url).netloc or "-",
        _version(member, url),
        describe_credential(member.credential),
        str(member.order),
        ", ".join(limits) + (" strict" if member.strict else "") or "none",
        _adapted(member.capabilities),
    )


def _adapted(capabilities: Capabilities | None) -> str:
    """How calls of the member are changed for its model; empty where they are not."""
    if capabilities is None:
        return ""
    marks = {
        "reasoning": capabilities.renames_max_tokens,
        "instruct": capabilities.completes_texts,
        "no system role": not capabilities.system_messages,
        "emulated stream": not capabilities.streams,
    }
    return ", ".join(mark for mark, holds in marks.items() if holds)


def _version(member: Deployment, url: str) -> str:
    """The api-version of the first operation, and where it comes from."""
    if member.provider == "openai":
        return "-"
    found = parse_qs(urlsplit(url).query).get("api-version")
    return f"{found[0] if found else 'v1'} ({member.version_from})"
