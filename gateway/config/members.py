"""One entry of `model_list` to one `Deployment`: provider, URLs, credential, limits, defaults.

Knows how the keys of an entry work together; single values were checked in `document`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config import urls
from gateway.config.credentials import azure_credential, openai_credential
from gateway.config.deployment import Credential, DefaultIdentity, Deployment, Provider, Target
from gateway.config.document import Info, ModelEntry, Params, read_section
from gateway.config.problems import Path, Problems, render
from gateway.config.reading import Reading
from gateway.config.values import is_version
from gateway.protocol.operation import Operation
from gateway.protocol.operations import OPERATIONS

_PROVIDERS: tuple[Provider, ...] = ("azure", "azure_text", "openai")

#: Azure's rule for the name of a deployment.
_DEPLOYMENT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
#: What LiteLLM writes between the provider and the deployment.
_ROUTES = frozenset(("o_series", "gpt5_series", "responses", "speech", "assistants", "mai", "common_cloud"))
#: How OpenAI's models are called. Anything else without a prefix is another provider's, whose key must not go
#: to OpenAI.
_OPENAI_MODEL = re.compile(
    r"(gpt|chatgpt|o\d|text-(embedding|moderation|davinci|curie|babbage|ada)|davinci|babbage|whisper|tts|dall-e|"
    r"omni-moderation|computer-use|codex|sora|ft:)",
    re.ASCII,
)

#: What `model_info.mode` narrows a member to.
_MODES: Mapping[str, Operation] = {mode: operation for operation in OPERATIONS for mode in operation.modes}


@dataclass(frozen=True, slots=True)
class DraftMember:
    """A deployment whose id and order still depend on the other members of its group."""

    deployment: Deployment
    path: Path
    #: `model_info.id`, if given.
    given_id: str | None
    order: int | None


def read_member(raw: Any, path: Path, reading: Reading) -> DraftMember:
    """Read the member at `path`; what is wrong goes to `reading.problems`, and then the result has no use."""
    problems, unused = reading.problems, reading.unused
    entry, _ = read_section(ModelEntry, raw, path, problems, unused)
    at_params, at_info = (*path, "litellm_params"), (*path, "model_info")
    if entry.model_name is None:
        problems.add((*path, "model_name"), "is missing; it is the name clients ask for")
    if entry.litellm_params is None:
        problems.add(at_params, "is missing; it needs at least model and, for Azure, api_base")
        # Nothing inside of it is missing on its own.
        problems.settle((*at_params, "model"))
    params, defaults = read_section(Params, entry.litellm_params, at_params, problems, unused)
    info, _ = read_section(Info, entry.model_info, at_info, problems, unused)
    provider, name = _split_model(params.model, (*at_params, "model"), problems)
    operations = _served(provider, info.mode, (*at_info, "mode"), problems)
    targets: dict[str, Target] = {}
    credential: Credential = DefaultIdentity()
    if problems.has((*at_params, "model")):
        pass  # whose URL and credential rules hold is not known
    elif provider == "openai":
        targets = _openai_targets(params, operations, at_params, reading)
        credential = openai_credential(params, at_params, reading)
    else:
        targets = _azure_targets(params, name, operations, at_params, reading)
        credential = azure_credential(params, at_params, reading)
    if params.timeout is not None and params.request_timeout not in (None, params.timeout):
        problems.add((*at_params, "request_timeout"), "differs from timeout, which means the same; keep one")
    deployment = Deployment(
        id="",
        model_name=entry.model_name or "",
        name=name,
        provider=provider,
        targets=targets,
        credential=credential,
        organization=params.organization if provider == "openai" else None,
        # LiteLLM's order: the entry itself, then litellm_params, then model_info.
        rpm=entry.rpm or params.rpm or info.rpm,
        tpm=entry.tpm or params.tpm or info.tpm,
        weight=params.weight,
        timeout=params.timeout or params.request_timeout,
        stream_timeout=params.stream_timeout,
        ptu=info.ptu_count is not None,
        cooldown_time=info.cooldown_time if params.cooldown_time is None else params.cooldown_time,
        allowed_fails=info.allowed_fails,
        strict=bool(entry.strict or params.strict or info.strict),
        defaults=defaults,
    )
    return DraftMember(deployment, path, info.id, params.order or info.order)


def _split_model(model: str | None, path: Path, problems: Problems) -> tuple[Provider, str]:
    """Split `azure/x`, `azure_text/x`, `openai/x` or a bare OpenAI model name into provider and name."""
    if model is None:
        problems.add(path, "is missing; write azure/<deployment>, azure_text/<deployment> or openai/<model>")
        return "azure", "unset"
    prefix, slash, rest = model.partition("/")
    provider: Provider = next((known for known in _PROVIDERS if known == prefix), "openai")
    name = rest if slash else model
    if prefix not in _PROVIDERS and slash:
        problems.add(
            path,
            "names a provider that is not served; only azure/, azure_text/, openai/ and bare OpenAI names "
            "are (a server that speaks OpenAI's protocol: openai/<model> with its api_base)",
        )
    elif prefix in _PROVIDERS and rest in ("", ".", ".."):
        problems.add(path, f"names no deployment or model after {prefix}/")
    elif provider != "openai" and not _DEPLOYMENT.fullmatch(name):
        problems.add(path, _not_a_deployment(name))
    elif not slash and not _OPENAI_MODEL.match(name):
        problems.add(
            path,
            "is no OpenAI model that is known here; write openai/<model> if it is one, azure/<deployment> "
            "for Azure (a server that speaks OpenAI's protocol: openai/<model> with its api_base)",
        )
    return provider, name


def _not_a_deployment(name: str) -> str:
    """Word what is wrong with the deployment's name of an Azure member."""
    route, slash, _ = name.partition("/")
    if slash and route in _ROUTES:
        return f"the {route}/ form is not supported yet; write the deployment's name alone"
    if "*" in name:
        return "wildcards are not supported yet; write one entry for each deployment"
    return "must name a deployment in letters, digits, -, _ and . only"


def _served(provider: Provider, mode: str | None, path: Path, problems: Problems) -> tuple[Operation, ...]:
    """Choose the operations of a member: those that its provider serves, and a mode leaves one."""
    offered = tuple(operation for operation in OPERATIONS if provider in operation.providers)
    if mode is None:
        return offered
    if mode not in _MODES:
        problems.add(path, f"is not served; use one of {', '.join(_MODES)}, or remove the entry")
        return offered
    if _MODES[mode] not in offered:
        modes = ", ".join(name for operation in offered for name in operation.modes)
        prefix = "azure/" if "azure" in _MODES[mode].providers else "openai/"
        problems.add(path, f"contradicts {provider}/, which serves {modes} only; use {prefix} or remove mode")
    return (_MODES[mode],)


def _base(params: Params, path: Path, problems: Problems) -> str | None:
    if params.api_base and params.base_url and params.api_base != params.base_url:
        problems.add((*path, "base_url"), "differs from api_base, which means the same; keep one")
    return params.api_base or params.base_url


def _base_of_environment(reading: Reading) -> str | None:
    """AZURE_API_BASE, for Azure members without an address of their own."""
    base = reading.environ.get("AZURE_API_BASE", "").strip()
    if not base:
        return None
    try:
        return urls.check_base(base)
    except ValueError as error:
        reading.problems.add(("AZURE_API_BASE",), f"the environment variable {error}")
        return None


def _openai_targets(
    params: Params, operations: tuple[Operation, ...], path: Path, reading: Reading
) -> dict[str, Target]:
    if params.api_version is not None:
        reading.warnings.append(f"{render(path)}.api_version: has no effect for an OpenAI member")
    base = _base(params, path, reading.problems) or urls.OPENAI_BASE
    try:
        base = urls.openai_base(base)
    except ValueError as error:
        reading.problems.add((*path, "api_base"), str(error))
    return {operation.name: urls.openai_target(base, operation) for operation in operations}


def _azure_targets(
    params: Params, name: str, operations: tuple[Operation, ...], path: Path, reading: Reading
) -> dict[str, Target]:
    if params.organization is not None:
        reading.warnings.append(f"{render(path)}.organization: has no effect for an Azure member")
    base = _base(params, path, reading.problems) or _base_of_environment(reading)
    at_fault = ((*path, "base_url"), ("AZURE_API_BASE",))
    if base is None and not any(map(reading.problems.has, at_fault)):
        reading.problems.add((*path, "api_base"), "is missing; write the resource's address, https://...")
    if base is None:
        return {}
    try:
        base, named = urls.azure_base(base)
    except ValueError as error:
        reading.problems.add((*path, "api_base"), str(error))
        return {}
    version = params.api_version or named
    if version is not None and not is_version(version):
        reading.problems.add((*path, "api_base"), "names an api-version that is none; cut it at the ?")
        return {}
    if version is None:
        # Empty means unset: shells and app settings often leave such a variable behind.
        version = reading.environ.get("AZURE_API_VERSION", "").strip() or None
        if version is not None and not is_version(version):
            reading.problems.add(
                ("AZURE_API_VERSION",),
                "the environment variable must be v1, latest, preview or a date such as 2024-10-21",
            )
            return {}
    try:
        return {operation.name: urls.azure_target(base, name, version, operation) for operation in operations}
    except ValueError as error:
        reading.problems.add((*path, "api_version"), str(error))
        return {}
