"""The shape of LiteLLM's config.yaml, section by section: names, types and ranges of single values.

Rules of this file: models stay few and flat, since building them is paid at every cold start; they hold only
keys with an effect (the others are in `keys`); what needs two values at once is checked where they meet.
Zero and negative limits, booleans as numbers and NaN are refused, unknown keys with the nearest known name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gateway.config import urls
from gateway.config.fields import ALL_FIELDS, NUMBER_FIELDS
from gateway.config.keys import REFUSED, WITHOUT_EFFECT, weakens
from gateway.config.problems import Path, Problems, render

#: More than any quota; keeps sums and shares of limits within what a float holds exactly.
_MOST = 10**12

#: Seconds of the longest time-out: a day.
_LONGEST = 86_400

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_TENANT = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; remove the key or give it a value")
    return text


def _header_safe(text: str) -> str:
    """Keys and tokens travel in headers, where anything but printable ASCII is lost or dangerous."""
    _filled(text)
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(
            "holds spaces, line breaks or other characters that no header may carry; remove them"
        )
    return text


def _token(text: str) -> str:
    if text.startswith("oidc/"):
        raise ValueError("federated tokens are not supported; give the token itself, or no credential at all")
    return _header_safe(text)


def _tenant(text: str) -> str:
    if not _TENANT.fullmatch(text):
        raise ValueError("must be a tenant's id or domain name")
    return text


def _named(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError("must be a name without spaces around it and without control characters")
    return text


def _model_name(text: str) -> str:
    if "*" in text:
        raise ValueError("wildcards are not supported yet; write one entry for each model")
    return _named(text)


def _version(text: str) -> str:
    if not is_version(text):
        raise ValueError("must be v1, latest, preview or a date such as 2024-10-21 or 2025-04-01-preview")
    return text


def is_version(text: str) -> bool:
    """Tell whether `text` can be an api-version: one of the v1 names, or a date with an optional suffix."""
    if text in urls.V1_VERSIONS:
        return True
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(-[a-z0-9]{1,20})?", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


Secret = Annotated[str, AfterValidator(_header_safe)]
Name = Annotated[str, AfterValidator(_named)]
Limit = Annotated[int, Field(gt=0, le=_MOST)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False)]
Retries = Annotated[int, Field(ge=0, le=100)]


class Section(BaseModel):
    """Base of all: strict types, no unknown key, every key optional (the loader asks for what it needs)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, protected_namespaces=())


class Entry(Section):
    """One member of `model_list`."""

    model_name: Annotated[str, AfterValidator(_model_name)] | None = None
    litellm_params: dict[str, Any] | None = None
    model_info: dict[str, Any] | None = None
    rpm: Limit | None = None
    tpm: Limit | None = None


class Params(Section):
    """`litellm_params` without the request defaults."""

    model: Name | None = None
    api_base: Annotated[str, AfterValidator(urls.check_base)] | None = None
    base_url: Annotated[str, AfterValidator(urls.check_base)] | None = None
    api_version: Annotated[str, AfterValidator(_version)] | None = None
    api_key: Secret | None = None
    azure_ad_token: Annotated[str, AfterValidator(_token)] | None = None
    tenant_id: Annotated[str, AfterValidator(_tenant)] | None = None
    client_id: Secret | None = None
    client_secret: Annotated[str, AfterValidator(_filled)] | None = None
    azure_scope: Secret | None = None
    organization: Secret | None = None
    rpm: Limit | None = None
    tpm: Limit | None = None
    weight: Annotated[float, Field(gt=0, le=_MOST, allow_inf_nan=False)] | None = None
    order: Limit | None = None
    timeout: Seconds | None = None
    request_timeout: Seconds | None = None
    stream_timeout: Seconds | None = None


class Info(Section):
    """`model_info`."""

    id: Secret | None = None
    mode: str | None = None
    rpm: Limit | None = None
    tpm: Limit | None = None
    order: Limit | None = None


class Router(Section):
    """`router_settings`."""

    num_retries: Retries | None = None
    timeout: Seconds | None = None
    stream_timeout: Seconds | None = None


class Library(Section):
    """`litellm_settings`."""

    num_retries: Retries | None = None
    request_timeout: Seconds | None = None


class General(Section):
    """`general_settings`."""

    master_key: Secret | None = None
    allow_anonymous: bool | None = None


_SECTIONS: Mapping[type[Section], str] = {
    Entry: "model_list",
    Router: "router_settings",
    Library: "litellm_settings",
    General: "general_settings",
    Params: "litellm_params",
    Info: "model_info",
}

#: Keys for which "nothing" is no answer: a blank one would quietly choose another credential or none.
_NEVER_BLANK = frozenset(
    ("api_key", "azure_ad_token", "tenant_id", "client_id", "client_secret", "master_key", "azure_scope")
)

#: Names at the top of the document.
TOP_LEVEL = ("model_list", "router_settings", "litellm_settings", "general_settings")

S = TypeVar("S", bound=Section)


def known_names(model: type[Section]) -> set[str]:
    """List every key that a section accepts or refuses by name."""
    section = _SECTIONS[model]
    defaults = ALL_FIELDS if model is Params else frozenset()
    return {*model.model_fields, *WITHOUT_EFFECT.get(section, ()), *REFUSED.get(section, {}), *defaults}


def read_section(
    model: type[S], raw: Any, path: Path, problems: Problems, unused: dict[str, list[str]]
) -> tuple[S, dict[str, Any]]:
    """Read one section as its model, and its request defaults (only `litellm_params` has any).

    Everything wrong with single values goes to `problems`, and the model comes back without those values, so
    that later checks go on. `unused` maps each accepted key without effect to the sections it was seen in.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        problems.add(path, "must be a mapping of keys to values")
        return model(), {}
    section = _SECTIONS[model]
    kept: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for key, value in raw.items():
        here = (*path, key)
        if key in _NEVER_BLANK and value is None:
            problems.add(here, "is empty; remove the key or give it a value")
        elif key in model.model_fields:
            kept[key] = value
        elif (reason := REFUSED.get(section, {}).get(key)) is not None:
            if weakens(key, value):
                problems.add(here, f"is refused: {reason}")
            else:
                unused.setdefault(f"{section}.{key}", []).append(render(path))
        elif key in WITHOUT_EFFECT.get(section, ()):
            unused.setdefault(f"{section}.{key}", []).append(render(path))
        elif model is Params and key in ALL_FIELDS:
            if value is not None and _is_default(key, value, here, problems):
                defaults[key] = value
        else:
            problems.add(here, unknown(key, known_names(model)))
    return _build(model, kept, path, problems), defaults


def unknown(key: str, known: set[str]) -> str:
    """Word the problem of an unknown key: the nearest known name, else the section that has it."""
    near = difflib.get_close_matches(key, sorted(known), n=1)
    if near:
        return f"unknown key, did you mean {near[0]}?"
    # A section where the key has an effect is the better advice.
    owners = [name for model, name in _SECTIONS.items() if key in model.model_fields]
    owners += [name for model, name in _SECTIONS.items() if key in known_names(model)]
    return f"unknown key, it belongs in {owners[0]}" if owners else "unknown key, remove it"


def _build(model: type[S], values: dict[str, Any], path: Path, problems: Problems) -> S:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    for detail in details:
        problems.add((*path, *detail["loc"]), _text(detail))
    wrong = {detail["loc"][0] for detail in details}
    return model.model_validate({key: value for key, value in values.items() if key not in wrong})


def _is_default(key: str, value: Any, path: Path, problems: Problems) -> bool:
    if key in NUMBER_FIELDS and (isinstance(value, bool) or not isinstance(value, int | float)):
        problems.add(path, "must be a number; write it without quotes")
        return False
    return True


_TEXTS = {
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number; write it without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number; write it without quotes",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false; write it without quotes",
    "dict_type": "must be a mapping of keys to values",
}


def _text(detail: ErrorDetails) -> str:
    """Our sentence for pydantic's error; pydantic's own texts are not used, since some quote the input."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "greater_than":
            return f"must be greater than {context['gt']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case kind:
            return _TEXTS.get(kind, "has the wrong type")
