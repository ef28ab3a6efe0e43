"""`os.environ/NAME` and `keyvault/NAME` references resolved, and the checks that hold for any value anywhere.

The environment and the secrets are arguments; nothing here reads the process's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from gateway.config import vault
from gateway.config.problems import MAX_DEPTH, Path, Problems
from gateway.config.vault import SecretValues
from gateway.protocol.body_fields import BOOLEAN_FIELDS, NUMBER_FIELDS
from gateway.protocol.capabilities import SERIES

PREFIX = "os.environ/"

#: Stands for a value that could not be had, so that the checks after it can go on.
PLACEHOLDER = "unset"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
#: Without leading zeros: YAML and people differ on what 0600 means.
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d{0,29}))(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)

#: A model or deployment whose name is in a variable; LiteLLM would call one named `os.environ/NAME`.
_DEPLOYMENT = re.compile(
    rf"((?:azure|azure_text|openai)/(?:(?:{'|'.join(SERIES)})/)?){PREFIX}(.*)", re.DOTALL
)

#: Keys whose text from the environment is meant as a number, beside the request defaults.
_NUMBER_KEYS = NUMBER_FIELDS | frozenset(
    (
        "allowed_fails",
        "cooldown_time",
        "max_fallbacks",
        "max_upstream_calls",
        "max_retries",
        "max_wait",
        "num_retries",
        "order",
        "ptu_count",
        "request_timeout",
        "rpm",
        "stream_timeout",
        "timeout",
        "tpm",
        "weight",
    )
)
_BOOLEAN_KEYS = BOOLEAN_FIELDS | frozenset(
    (
        "admin",
        "allow_anonymous",
        "cancel_on_disconnect",
        "disable_cooldowns",
        "drop_params",
        "enable_tag_filtering",
        "per_user",
        "shadow",
        "strict",
        "use_azure_key_vault",
    )
)


def resolve(
    tree: Any, environ: Mapping[str, str], problems: Problems, secrets: SecretValues | None = None
) -> tuple[Any, Mapping[Path, str]]:
    """Copy `tree` with references replaced by the values of variables and of the vault's secrets.

    Without `secrets` there is no vault, and a reference to one is a problem. So are unset variables, numbers
    that are not finite, text that is not Unicode and excessive depth. Text becomes a number or a boolean
    where the key asks for one. The second result has the name of the secret that stands at each path.
    """
    resolver = _Resolver(environ, problems, secrets)
    return resolver.resolve(tree, ()), resolver.found


def variable(text: str, key: object) -> tuple[str, str] | None:
    """What stands before a reference, and its variable's name; None where `text`, at `key`, is none."""
    if text.startswith(PREFIX):
        return "", text.removeprefix(PREFIX)
    named = _DEPLOYMENT.fullmatch(text) if key == "model" else None
    return None if named is None else (named[1], named[2])


class _Resolver:
    """Resolves one tree; a recursive function's constant arguments."""

    def __init__(self, environ: Mapping[str, str], problems: Problems, secrets: SecretValues | None) -> None:
        self._environ = environ
        self._problems = problems
        self._secrets = secrets
        self.found: dict[Path, str] = {}

    def resolve(self, tree: Any, path: Path) -> Any:
        problems = self._problems
        if len(path) > MAX_DEPTH:
            problems.add(path[:1], f"is nested more than {MAX_DEPTH} levels deep; flatten it")
            return PLACEHOLDER
        if isinstance(tree, dict):
            for key in tree:
                _check_text(key, path, problems)
            return {key: self.resolve(value, (*path, key)) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.resolve(value, (*path, index)) for index, value in enumerate(tree)]
        if isinstance(tree, float) and not math.isfinite(tree):
            problems.add(path, "must be a finite number")
            return PLACEHOLDER
        if not isinstance(tree, str):
            return tree
        if (reference := variable(tree, path[-1] if path else None)) is not None:
            before, name = reference
            value = self._variable(name, path)
            return f"{before}{value}" if before else value
        if tree.startswith(vault.PREFIX):
            return self._secret(tree, path)
        return tree if _check_text(tree, path, problems) else PLACEHOLDER

    def _variable(self, name: str, path: Path) -> Any:
        if not _NAME.fullmatch(name):
            self._problems.add(
                path, f"is no usable reference; write {PREFIX}NAME with the name of an environment variable"
            )
            return PLACEHOLDER
        text = self._environ.get(name)
        if text is None and self._secrets is not None and self._secrets.elsewhere:
            self._problems.settle(path)
            return PLACEHOLDER
        if text is None:
            self._problems.add(
                path, f"environment variable {name} is not set; set it, or write the value here"
            )
            return PLACEHOLDER
        return typed(text, path, self._problems)

    def _secret(self, reference: str, path: Path) -> Any:
        name, secrets = vault.secret_name(reference), self._secrets
        if name is None:
            self._problems.add(
                path, f"is no usable reference; write {vault.PREFIX}NAME with the name of a secret"
            )
        elif secrets is None:
            self._problems.add(path, "refers to a vault, but KEY_VAULT_URL is not set; set it")
        elif secrets.unread:
            self._problems.settle(path)
            self.found[path] = name
        elif name not in secrets.known:
            reason = secrets.failed.get(name, "was not read")
            self._problems.add(path, f"the vault's secret {name} {reason}")
        else:
            self.found[path] = name
            # Files end with a line break, and so do secrets that were made of them.
            return typed(secrets.known[name].rstrip("\r\n"), path, self._problems)
        return PLACEHOLDER


def typed(text: str, path: Path, problems: Problems) -> Any:
    """Text from outside, as what its key asks for."""
    key = path[-1] if path else ""
    if key in _NUMBER_KEYS and (number := _NUMBER.fullmatch(text.strip())):
        whole, fraction, exponent = number.groups()
        value = int(whole) if fraction is None and exponent is None else float(number[0])
        if math.isfinite(value):
            return value
    if key in _BOOLEAN_KEYS and text.strip().lower() in ("true", "false", "1", "0"):
        return text.strip().lower() in ("true", "1")
    return text if _check_text(text, path, problems) else PLACEHOLDER


def _check_text(text: str, path: Path, problems: Problems) -> bool:
    """Whether `text` can be sent at all: JSON's escapes can write half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        problems.add(path, "holds text that is not valid Unicode")
        return False
    return True
