"""Every environment variable that the code itself reads, and how one is read. Pure.

The table in docs/configuration.md is made from `SETTINGS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass


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
    Setting("AZURE_OPENAI_ENDPOINT", None, "The same, where AZURE_API_BASE is not set."),
    Setting(
        "AZURE_SCOPE",
        "https://cognitiveservices.azure.com/.default",
        "The scope of the tokens of Azure members whose configuration names none.",
    ),
    Setting(
        "AZURE_FEDERATED_TOKEN_FILE",
        None,
        "The file with the federated token of applications (tenant_id, client_id) without a secret.",
    ),
    Setting("AZURE_API_VERSION", None, "The api-version of deployments whose configuration names none."),
    Setting("OPENAI_API_KEY", None, "The key of OpenAI members whose configuration names none."),
)

#: Any host: clouds have domains of their own.
_VAULT_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?", re.ASCII)
_PROXY = re.compile(r"http://[^/\s]+/?\Z", re.ASCII)
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}", re.ASCII)

DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class Reader:
    """Reads single variables, and gathers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str | None:
        """A text; None where there is none but blanks."""
        return self.environ.get(name, "").strip() or None

    def items(self, name: str) -> tuple[str, ...]:
        """The items of a list that commas divide."""
        return _items(self.text(name))

    def either(self, name: str) -> str | None:
        """A setting that some write in lower case, which counts first, and some in upper case."""
        return self.text(name.lower()) or self.text(name)

    def number(self, name: str, default: float | None = None, *, zero: bool = False) -> float:
        """A number above 0."""
        text = self.text(name)
        if text is None:
            return float(DEFAULTS[name] or 0) if default is None else default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not ((value > 0 or (zero and value == 0)) and math.isfinite(value)):
            self.problems.append(f"{name}: must be a number above 0{', or 0' if zero else ''}")
        return value

    def size(self, name: str) -> int:
        """A whole number above 0."""
        value = self.number(name)
        return int(value) if math.isfinite(value) else 0

    def flag(self, name: str) -> bool:
        """A choice of two."""
        text = (self.text(name) or "").lower()
        if text not in _TRUE | _FALSE:
            self.problems.append(f"{name}: must be 1 or 0")
        return text in _TRUE

    def secret_name(self, name: str) -> str:
        """The name of a secret of the vault."""
        text = self.text(name) or str(DEFAULTS[name])
        if not _SECRET_NAME.fullmatch(text):
            self.problems.append(f"{name}: must be the name of a secret: letters, digits and dashes")
        return text

    def vault_url(self) -> str | None:
        """The vault's address, without a slash at its end."""
        text = (self.text("KEY_VAULT_URL") or "").rstrip("/") or None
        if text is not None and not _VAULT_URL.fullmatch(text):
            self.problems.append(
                "KEY_VAULT_URL: must be the vault's https:// address and no more, https://HOST"
            )
        return text

    def tables_endpoint(self) -> str | None:
        """The address of Table Storage."""
        text = self.text("TABLES_ENDPOINT")
        if text is not None and not text.startswith("https://"):
            self.problems.append("TABLES_ENDPOINT: must be an https:// address, since a token is sent to it")
        return text

    def no_proxy(self) -> tuple[str, ...]:
        """The hosts that are reached without it."""
        return _items(self.either("NO_PROXY"))

    def https_proxy(self) -> str | None:
        """The proxy's address, which may be given without its scheme."""
        text = self.either("HTTPS_PROXY")
        if text is None:
            return None
        address = text if "://" in text else f"http://{text}"
        if not _PROXY.match(address):
            self.problems.append("HTTPS_PROXY: must be an http:// address, http://HOST:PORT")
        return address


def _items(text: str | None) -> tuple[str, ...]:
    """The items of a list that commas divide."""
    return tuple(filter(None, map(str.strip, (text or "").split(","))))
