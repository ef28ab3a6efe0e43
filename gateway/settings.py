"""The gateway's settings: every environment variable that the code itself reads, in one place.

The table in docs/configuration.md is made from `SETTINGS`. What azure-identity reads by itself
(AZURE_CLIENT_ID, IDENTITY_ENDPOINT, ...) is its own; what a configuration names as os.environ/NAME is its
operator's.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its default (as text; None where there is none) and what it does."""

    name: str
    default: str | None
    meaning: str


SETTINGS = (
    Setting("GATEWAY_CONFIG", None, "The configuration: a path, or the YAML or JSON document itself."),
    Setting(
        "KEY_VAULT_URL",
        None,
        "The vault whose secrets keyvault/NAME refers to, by identity: https://NAME.vault.azure.net. Without "
        "GATEWAY_CONFIG it holds the configuration, too.",
    ),
    Setting(
        "GATEWAY_DEPLOYMENTS_SECRET",
        "gateway-deployments",
        "The vault's secret with the infrastructure's part of the configuration.",
    ),
    Setting("GATEWAY_CONFIG_SECRET", "gateway-config", "The vault's secret with the operator's part."),
    Setting("GATEWAY_CLIENTS_SECRET", "gateway-clients", "The vault's secret with the callers."),
    Setting(
        "GATEWAY_REFRESH_SECONDS",
        "300",
        "Seconds between looks at the vault's secrets, 10 % more or less.",
    ),
    Setting(
        "GATEWAY_RELOAD_SECONDS",
        "0 on Functions, 5 on the embedded host",
        "Seconds between looks at the file of the configuration; 0 for none.",
    ),
    Setting("GATEWAY_ALLOW_ANONYMOUS", "0", "1 opens the gateway to every caller, with any key or none."),
    Setting(
        "GATEWAY_MAX_BODY_BYTES", "100000000", "Largest request body; must lie below the host's own limit."
    ),
    Setting("GATEWAY_MAX_HELD_BYTES", "256000000", "Bytes of all request bodies held at one time."),
    Setting(
        "GATEWAY_MAX_REPLY_BYTES",
        "64000000",
        "Longest reply of upstream that is not streamed; beyond it another deployment is tried.",
    ),
    Setting("GATEWAY_UPLOAD_TIMEOUT", "30", "Seconds in which the next piece of a request body must come."),
    Setting(
        "GATEWAY_REPLY_TIMEOUT",
        "220 on Functions, 600 on the embedded host",
        "Seconds for a call that is not streamed; the platform ends a silent reply at 230.",
    ),
    Setting(
        "GATEWAY_STREAM_TIMEOUT", "600", "Seconds for a stream's first byte, and for each silence in it."
    ),
    Setting(
        "GATEWAY_STREAM_HOLD",
        "30",
        "Seconds for which a stream's headers wait for upstream's answer, at most GATEWAY_KEEP_ALIVE; after "
        "that 200 is sent.",
    ),
    Setting(
        "GATEWAY_KEEP_ALIVE",
        "30",
        "Seconds of silence after which a chat or completions stream gets an event that says nothing.",
    ),
    Setting(
        "GATEWAY_ARRIVAL_TIMEOUT", "20", "Functions only: seconds an invocation waits for its HTTP request."
    ),
    Setting(
        "GATEWAY_MAX_CONNECTIONS",
        "1000",
        "Embedded host only: connections open at one time; the longest idle one makes room for a new one.",
    ),
    Setting(
        "GATEWAY_CORS_ORIGINS",
        None,
        "Embedded host only: origins whose pages may call the gateway, separated by commas; * for all.",
    ),
    Setting(
        "TABLES_ENDPOINT",
        None,
        "Table Storage that instances share limits through, by identity: https://NAME.table.core.windows.net.",
    ),
    Setting(
        "AzureWebJobsStorage",
        None,
        "The same by connection string, where TABLES_ENDPOINT is not set. Without either, limits are counted "
        "in this process's memory.",
    ),
    Setting(
        "AZURE_AUTHORITY_HOST",
        "https://login.microsoftonline.com",
        "Where Entra ID is, for own tokens and those of callers: other clouds have other addresses.",
    ),
    Setting(
        "REQUESTS_CA_BUNDLE",
        None,
        "A file of certificates to trust, for Entra ID and its identities, the vault and upstreams; where "
        "SSL_CERT_FILE is set, that one counts.",
    ),
    Setting(
        "HTTPS_PROXY",
        None,
        "The proxy for https addresses, http://HOST:PORT: Entra ID, the vault and upstreams.",
    ),
    Setting("NO_PROXY", None, "Hosts that are reached without it, separated by commas; * for all."),
    Setting("GATEWAY_MASTER_KEY", None, "The master key of a configuration that names none."),
    Setting("LITELLM_MASTER_KEY", None, "The same, where GATEWAY_MASTER_KEY is not set."),
    Setting("AZURE_OPENAI_API_KEY", None, "As AZURE_API_KEY, and before it."),
    Setting("AZURE_API_KEY", None, "The key of Azure members whose configuration names no credential."),
    Setting("AZURE_AD_TOKEN", None, "The Entra token of such members, where AZURE_API_KEY is not set."),
    Setting("AZURE_API_BASE", None, "The address of Azure members whose configuration names none."),
    Setting(
        "AZURE_FEDERATED_TOKEN_FILE",
        None,
        "The file with the federated token of applications (tenant_id, client_id) without a secret.",
    ),
    Setting("AZURE_API_VERSION", None, "The api-version of deployments whose configuration names none."),
    Setting("OPENAI_API_KEY", None, "The key of OpenAI members whose configuration names none."),
)

#: In the order in which their parts follow one another.
_VAULT_SECRETS = ("GATEWAY_DEPLOYMENTS_SECRET", "GATEWAY_CONFIG_SECRET", "GATEWAY_CLIENTS_SECRET")

#: Any host: clouds have domains of their own.
_VAULT_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?", re.ASCII)
_PROXY = re.compile(r"http://[^/\s]+/?\Z", re.ASCII)
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}", re.ASCII)

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class SettingsError(Exception):
    """Settings that cannot be used; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read and checked. Times in seconds, sizes in bytes."""

    #: What os.environ/NAME in the configuration refers to.
    environ: Mapping[str, str] = field(repr=False)
    config: str | None
    #: 0 for never.
    reload_seconds: float
    vault_url: str | None
    #: The secrets that the configuration is put together from.
    vault_secrets: tuple[str, ...]
    refresh_seconds: float
    allow_anonymous: bool
    max_body: int
    max_held: int
    max_reply: int
    upload_timeout: float
    reply_timeout: float
    stream_timeout: float
    stream_hold: float
    keep_alive: float
    max_connections: int
    cors_origins: tuple[str, ...]
    tables_endpoint: str | None
    #: A connection string.
    storage: str | None = field(repr=False)
    #: Where Entra ID is.
    authority: str
    #: A file of certificates to trust in place of the system's; None where OpenSSL finds its own.
    ca_bundle: str | None
    https_proxy: str | None = field(repr=False)
    no_proxy: tuple[str, ...]


def read(
    environ: Mapping[str, str] | None = None, *, reply_timeout: float = 220.0, reload_seconds: float = 0.0
) -> Settings:
    """The settings of this process (or of `environ`); the arguments are the host's defaults.

    Raises SettingsError with every problem.
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []

    def number(name: str, default: float | None = None, *, zero: bool = False) -> float:
        text = environ.get(name, "").strip()
        if not text:
            return float(_DEFAULTS[name] or 0) if default is None else default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not ((value > 0 or (zero and value == 0)) and math.isfinite(value)):
            problems.append(f"{name}: must be a number above 0{', or 0' if zero else ''}")
        return value

    def secret(name: str) -> str:
        text = environ.get(name, "").strip() or str(_DEFAULTS[name])
        if not _SECRET_NAME.fullmatch(text):
            problems.append(f"{name}: must be the name of a secret: letters, digits and dashes")
        return text

    def flag(name: str) -> bool:
        text = environ.get(name, "").strip().lower()
        if text not in _TRUE | _FALSE:
            problems.append(f"{name}: must be 1 or 0")
        return text in _TRUE

    values = Settings(
        environ=environ,
        config=environ.get("GATEWAY_CONFIG") or None,
        reload_seconds=number("GATEWAY_RELOAD_SECONDS", reload_seconds, zero=True),
        vault_url=environ.get("KEY_VAULT_URL", "").strip().rstrip("/") or None,
        vault_secrets=tuple(dict.fromkeys(secret(name) for name in _VAULT_SECRETS)),
        refresh_seconds=number("GATEWAY_REFRESH_SECONDS"),
        allow_anonymous=flag("GATEWAY_ALLOW_ANONYMOUS"),
        max_body=_whole(number("GATEWAY_MAX_BODY_BYTES")),
        max_held=_whole(number("GATEWAY_MAX_HELD_BYTES")),
        max_reply=_whole(number("GATEWAY_MAX_REPLY_BYTES")),
        upload_timeout=number("GATEWAY_UPLOAD_TIMEOUT"),
        reply_timeout=number("GATEWAY_REPLY_TIMEOUT", reply_timeout),
        stream_timeout=number("GATEWAY_STREAM_TIMEOUT"),
        stream_hold=number("GATEWAY_STREAM_HOLD"),
        keep_alive=number("GATEWAY_KEEP_ALIVE"),
        max_connections=_whole(number("GATEWAY_MAX_CONNECTIONS")),
        cors_origins=tuple(filter(None, map(str.strip, environ.get("GATEWAY_CORS_ORIGINS", "").split(",")))),
        tables_endpoint=environ.get("TABLES_ENDPOINT", "").strip() or None,
        storage=environ.get("AzureWebJobsStorage", "").strip() or None,
        authority=environ.get("AZURE_AUTHORITY_HOST", "").strip() or str(_DEFAULTS["AZURE_AUTHORITY_HOST"]),
        ca_bundle=None
        if environ.get("SSL_CERT_FILE")
        else environ.get("REQUESTS_CA_BUNDLE", "").strip() or None,
        https_proxy=_with_scheme(_proxy(environ, "https_proxy")),
        no_proxy=tuple(filter(None, map(str.strip, (_proxy(environ, "no_proxy") or "").split(",")))),
    )
    if values.https_proxy and not _PROXY.match(values.https_proxy):
        problems.append("HTTPS_PROXY: must be an http:// address, http://HOST:PORT")
    if values.vault_url and not _VAULT_URL.fullmatch(values.vault_url):
        problems.append("KEY_VAULT_URL: must be the vault's https:// address and no more, https://HOST")
    if values.tables_endpoint and not values.tables_endpoint.startswith("https://"):
        problems.append("TABLES_ENDPOINT: must be an https:// address, since a token is sent to it")
    if not problems and values.max_held < values.max_body:
        problems.append("GATEWAY_MAX_HELD_BYTES: must not be below GATEWAY_MAX_BODY_BYTES")
    if problems:
        raise SettingsError(problems)
    return values


def process_environment() -> Mapping[str, str]:
    """The environment variables of this process as they are now, for callers that read some by name."""
    return os.environ


def arrival_timeout(environ: Mapping[str, str] | None = None) -> float:
    """Seconds an invocation on Functions waits for its HTTP request. A bad value counts as the default.

    Apart from `read`, for the worker needs it before any configuration is loaded and must start with
    whatever it finds.
    """
    environ = os.environ if environ is None else environ
    default = float(_DEFAULTS["GATEWAY_ARRIVAL_TIMEOUT"] or 0)
    try:
        value = float(environ.get("GATEWAY_ARRIVAL_TIMEOUT", ""))
    except ValueError:
        return default
    return value if 0 < value <= 3600 else default


def _proxy(environ: Mapping[str, str], name: str) -> str | None:
    """A setting that some write in lower case, which counts first, and some in upper case."""
    return environ.get(name, "").strip() or environ.get(name.upper(), "").strip() or None


def _with_scheme(address: str | None) -> str | None:
    return address if address is None or "://" in address else f"http://{address}"


def _whole(value: float) -> int:
    return int(value) if math.isfinite(value) else 0
