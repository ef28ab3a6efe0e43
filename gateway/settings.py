"""The gateway's settings, as values: read from the environment here and nowhere else.

What azure-identity reads by itself (AZURE_CLIENT_ID, IDENTITY_ENDPOINT, ...) is its own; what a configuration
names as os.environ/NAME is its operator's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.variables import DEFAULTS, Reader

#: In the order in which their parts follow one another.
_VAULT_SECRETS = ("GATEWAY_DEPLOYMENTS_SECRET", "GATEWAY_CONFIG_SECRET", "GATEWAY_CLIENTS_SECRET")


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

    @property
    def identity_secrets(self) -> tuple[str, ...]:
        """What azure-identity reads from the environment by itself, and no log may repeat."""
        names = (
            "AZURE_CLIENT_SECRET",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
            "AZURE_PASSWORD",
            "IDENTITY_HEADER",
        )
        return tuple(value for name in names if (value := self.environ.get(name, "").strip()))


def read(
    environ: Mapping[str, str] | None = None, *, reply_timeout: float = 220.0, reload_seconds: float = 0.0
) -> Settings:
    """The settings of this process (or of `environ`); the arguments are the host's defaults.

    Raises SettingsError with every problem.
    """
    found = Reader(os.environ if environ is None else environ)
    settings = Settings(
        environ=found.environ,
        config=found.environ.get("GATEWAY_CONFIG") or None,
        reload_seconds=found.number("GATEWAY_RELOAD_SECONDS", reload_seconds, zero=True),
        vault_url=found.vault_url(),
        vault_secrets=tuple(dict.fromkeys(found.secret_name(name) for name in _VAULT_SECRETS)),
        refresh_seconds=found.number("GATEWAY_REFRESH_SECONDS"),
        allow_anonymous=found.flag("GATEWAY_ALLOW_ANONYMOUS"),
        max_body=found.size("GATEWAY_MAX_BODY_BYTES"),
        max_held=found.size("GATEWAY_MAX_HELD_BYTES"),
        max_reply=found.size("GATEWAY_MAX_REPLY_BYTES"),
        upload_timeout=found.number("GATEWAY_UPLOAD_TIMEOUT"),
        reply_timeout=found.number("GATEWAY_REPLY_TIMEOUT", reply_timeout),
        stream_timeout=found.number("GATEWAY_STREAM_TIMEOUT"),
        stream_hold=found.number("GATEWAY_STREAM_HOLD"),
        keep_alive=found.number("GATEWAY_KEEP_ALIVE"),
        max_connections=found.size("GATEWAY_MAX_CONNECTIONS"),
        cors_origins=found.items("GATEWAY_CORS_ORIGINS"),
        tables_endpoint=found.tables_endpoint(),
        storage=found.text("AzureWebJobsStorage"),
        authority=found.text("AZURE_AUTHORITY_HOST") or str(DEFAULTS["AZURE_AUTHORITY_HOST"]),
        ca_bundle=None if found.environ.get("SSL_CERT_FILE") else found.text("REQUESTS_CA_BUNDLE"),
        https_proxy=found.https_proxy(),
        no_proxy=found.no_proxy(),
    )
    if not found.problems and settings.max_held < settings.max_body:
        found.problems.append("GATEWAY_MAX_HELD_BYTES: must not be below GATEWAY_MAX_BODY_BYTES")
    if found.problems:
        raise SettingsError(found.problems)
    return settings


def process_environment() -> Mapping[str, str]:
    """The environment variables of this process as they are now, for callers that read some by name."""
    return os.environ


def arrival_timeout(environ: Mapping[str, str] | None = None) -> float:
    """Seconds an invocation on Functions waits for its HTTP request. A bad value counts as the default.

    Apart from `read`, for the worker needs it before any configuration is loaded and must start with
    whatever it finds.
    """
    environ = os.environ if environ is None else environ
    default = float(DEFAULTS["GATEWAY_ARRIVAL_TIMEOUT"] or 0)
    try:
        value = float(environ.get("GATEWAY_ARRIVAL_TIMEOUT", ""))
    except ValueError:
        return default
    return value if 0 < value <= 3600 else default
