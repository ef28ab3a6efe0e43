"""One entry of `model_list` to one `Deployment`: provider, URLs, credential, limits, defaults.

Knows how the keys of an entry work together; single values were checked in `document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gateway.config import urls
from gateway.config.abilities import as_known, is_called_after_another, read_capabilities
from gateway.config.additions import read_body, read_dropped, read_headers
from gateway.config.credentials import azure_credential, openai_credential
from gateway.config.deployment import Credential, DefaultIdentity, Deployment, Provider, Target
from gateway.config.document import read_section
from gateway.config.patterns import STAR
from gateway.config.problems import Path, Problems
from gateway.config.providers import MODES, is_mode, mode_of, qualified, served, split_model
from gateway.config.reading import Reading
from gateway.config.sections import Info, ModelEntry, Params
from gateway.config.unused import Unused
from gateway.config.values import is_version
from gateway.protocol.capabilities import SERIES, Capabilities, answers_chats, namesake
from gateway.protocol.operation import Operation
from gateway.protocol.operations import CHAT, COMPLETIONS

#: Variables with the address of Azure members that have none of their own; the first that is set counts.
BASE_VARIABLES = ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT")
_CALLED_AFTER_ANOTHER = (
    "is called after a model that takes other parameters than most, but names decide nothing; "
    "say model_info.base_model"
)


class DraftMember(msgspec.Struct, frozen=True):
    """A deployment whose id and order still depend on the other members of its group."""

    deployment: Deployment
    path: Path
    #: `model_info.id`, if given.
    given_id: str | None
    order: int | None


class _Called(msgspec.Struct, frozen=True):
    """What an entry calls, and how."""

    provider: Provider
    name: str
    targets: Mapping[str, Target]
    credential: Credential
    version_from: str
    capabilities: Capabilities | None


def read_member(raw: Any, path: Path, reading: Reading) -> DraftMember:
    """Read the member at `path`; what is wrong goes to `reading.problems`, and then the result has no use."""
    member = _read_member(raw, path, reading)
    deployment = member.deployment
    if deployment.provider == "azure" and deployment.name == STAR and not reading.problems:
        series = {name: _of_series(name, raw, path, reading) for name in SERIES}
        return msgspec.structs.replace(member, deployment=replace(deployment, series=series))
    return member


def _of_series(series: str, raw: Any, path: Path, reading: Reading) -> Deployment:
    """The member of an entry for any deployment, where the caller says that it is of a series."""
    params = {**raw["litellm_params"], "model": f"azure/{series}/{STAR}"}
    aside = msgspec.structs.replace(
        reading, problems=Problems(), warnings=[], unused=Unused(), borrowed={}, remarks=[]
    )
    return _read_member({**raw, "litellm_params": params}, path, aside).deployment


def _read_member(raw: Any, path: Path, reading: Reading) -> DraftMember:
    entry, params, info, defaults = _sections(raw, path, reading)
    at_params = (*path, "litellm_params")
    called = _called(entry, params, info, path, reading)
    if called.capabilities is None and is_called_after_another(params, info, called.name):
        reading.remark((*at_params, "model"), _CALLED_AFTER_ANOTHER)
    if params.timeout is not None and params.request_timeout not in (None, params.timeout):
        reading.problems.add(
            (*at_params, "request_timeout"), "differs from timeout, which means the same; keep one"
        )
    deployment = Deployment(
        id="",
        model_name=entry.model_name or "",
        name=called.name,
        provider=called.provider,
        targets=called.targets,
        credential=called.credential,
        version_from=called.version_from,
        organization=params.organization if called.provider == "openai" else None,
        region=params.region_name,
        # LiteLLM's order: the entry itself, then litellm_params, then model_info.
        rpm=entry.rpm or params.rpm or info.rpm,
        tpm=entry.tpm or params.tpm or info.tpm,
        weight=params.weight,
        max_parallel_requests=params.max_parallel_requests,
        timeout=params.timeout or params.request_timeout,
        stream_timeout=params.stream_timeout,
        num_retries=params.max_retries if params.num_retries is None else params.num_retries,
        ptu=info.ptu_count is not None,
        cooldown_time=info.cooldown_time if params.cooldown_time is None else params.cooldown_time,
        allowed_fails=info.allowed_fails,
        strict=bool(entry.strict or params.strict or info.strict),
        capabilities=called.capabilities,
    )
    deployment = _with_edits(deployment, params, defaults, at_params, reading)
    return DraftMember(deployment, path, info.id, params.order or info.order)


def _with_edits(
    deployment: Deployment, params: Params, defaults: Mapping[str, Any], path: Path, reading: Reading
) -> Deployment:
    """The deployment with what its entry adds to requests and takes out of them."""
    drop_params = reading.drop_params if params.drop_params is None else params.drop_params
    known, refused = as_known(defaults, deployment.capabilities)
    extra_body, more_refused = as_known(read_body(params, path, reading.problems), deployment.capabilities)
    lost = [(name,) for name in refused] + [("extra_body", name) for name in more_refused]
    for key in () if drop_params else lost:
        reading.remark((*path, *key), "is left out, for the model does not take it")
    dropped = read_dropped(params, path, reading)
    return replace(
        deployment,
        headers=read_headers(params, path, reading.problems),
        extra_body=extra_body,
        dropped=dropped.names,
        dropped_within=dropped.paths,
        drop_params=drop_params,
        defaults=known,
    )


def _sections(raw: Any, path: Path, reading: Reading) -> tuple[ModelEntry, Params, Info, dict[str, Any]]:
    """The entry, its two sections, and its request defaults."""
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
    return entry, params, info, defaults


def _called(entry: ModelEntry, params: Params, info: Info, path: Path, reading: Reading) -> _Called:
    """Provider, name, addresses and credential."""
    problems = reading.problems
    at_params = (*path, "litellm_params")
    model = params.model if params.model is None else qualified(params.model, params.custom_llm_provider)
    stars = (entry.model_name or "").count(STAR)
    provider, name = split_model(model, (*at_params, "model"), problems, stars=stars)
    capabilities = read_capabilities(params, info, provider)
    completes_texts = capabilities is not None and capabilities.completes_texts
    at_mode = (*path, "model_info", "mode")
    mode = info.mode
    if mode is not None and not is_mode(mode):
        reading.remark(
            at_mode, f"is no mode of LiteLLM's and narrows nothing; those served: {', '.join(MODES)}"
        )
        mode = None
    elif mode is not None and MODES.get(mode_of(mode) or "") is COMPLETIONS:
        base_model = next((each for each in (info.base_model, params.base_model) if each), None)
        if answers_chats(base_model):
            reading.remark(
                at_mode, "is another one's than base_model's, which answers chats; narrows nothing"
            )
            mode = None
        elif base_model is None and provider == "azure" and answers_chats(namesake(name)):
            reading.remark(at_mode, "leaves completions only; write chat where the deployment answers chats")
    operations = served(provider, mode, at_mode, problems, completes_texts=completes_texts)
    targets: Mapping[str, Target] = {}
    version_from = "default"
    credential: Credential = DefaultIdentity()
    if problems.has((*at_params, "model")):
        pass  # whose rules for addresses and credentials hold is not known
    elif provider == "openai":
        targets = _openai_targets(params, operations, at_params, reading)
        credential = openai_credential(params, at_params, reading)
    else:
        targets, version_from = _azure_targets(params, name, operations, at_params, reading)
        credential = azure_credential(params, at_params, reading)
    if completes_texts and COMPLETIONS.name in targets:
        targets = {**targets, CHAT.name: targets[COMPLETIONS.name]}
    return _Called(provider, name, targets, credential, version_from, capabilities)


def _base(params: Params, path: Path, problems: Problems) -> str | None:
    if params.api_base and params.base_url and params.api_base != params.base_url:
        problems.add((*path, "base_url"), "differs from api_base, which means the same; keep one")
    base = params.api_base or params.base_url
    if base is not None and not params.allow_insecure and not urls.is_safe(base):
        key = "base_url" if params.api_base is None else "api_base"
        problems.add((*path, key), urls.INSECURE)
    return base


def _base_of_environment(reading: Reading) -> str | None:
    """AZURE_API_BASE, else AZURE_OPENAI_ENDPOINT, for Azure members without an address of their own."""
    name = next((each for each in BASE_VARIABLES if reading.environ.get(each, "").strip()), None)
    if name is None:
        return None
    try:
        base = urls.check_base(reading.environ[name].strip())
        if urls.is_safe(base):
            return base
        reason = urls.INSECURE
    except ValueError as error:
        reason = str(error)
    reading.problems.add((name,), f"the environment variable {reason}")
    return None


def _openai_targets(
    params: Params, operations: tuple[Operation, ...], path: Path, reading: Reading
) -> dict[str, Target]:
    if params.api_version is not None:
        reading.remark((*path, "api_version"), "has no effect for an OpenAI member")
    base = _base(params, path, reading.problems) or urls.OPENAI_BASE
    try:
        base = urls.openai_base(base)
    except ValueError as error:
        reading.problems.add((*path, "api_base"), str(error))
    return {operation.name: urls.openai_target(base, operation) for operation in operations}


def _azure_targets(
    params: Params, name: str, operations: tuple[Operation, ...], path: Path, reading: Reading
) -> tuple[dict[str, Target], str]:
    """The targets, and where the api-version comes from."""
    if params.organization is not None:
        reading.remark((*path, "organization"), "has no effect for an Azure member")
    base = _base(params, path, reading.problems) or _base_of_environment(reading)
    at_fault = ((*path, "base_url"), *((name,) for name in BASE_VARIABLES))
    if base is None and not any(map(reading.problems.has, at_fault)):
        reading.problems.add((*path, "api_base"), "is missing; write the resource's address, https://...")
    if base is None:
        return {}, ""
    try:
        base, named = urls.azure_base(base)
    except ValueError as error:
        reading.problems.add((*path, "api_base"), str(error))
        return {}, ""
    version, version_from = params.api_version or named, "api_version" if params.api_version else "api_base"
    if version is not None and not is_version(version):
        reading.problems.add((*path, "api_base"), "names an api-version that is none; cut it at the ?")
        return {}, ""
    if version is None:
        # Empty means unset: shells and app settings often leave such a variable behind.
        version = reading.environ.get("AZURE_API_VERSION", "").strip() or None
        version_from = "default" if version is None else "AZURE_API_VERSION"
        if version is not None and not is_version(version):
            reading.problems.add(
                ("AZURE_API_VERSION",),
                "the environment variable must be v1, latest, preview or a date such as 2024-10-21",
            )
            return {}, ""
    try:
        targets = {
            operation.name: urls.azure_target(base, name, version, operation) for operation in operations
        }
    except ValueError as error:
        reading.problems.add((*path, "api_version"), str(error))
        return {}, ""
    return targets, version_from
