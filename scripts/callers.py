"""The first callers: what the secret gateway-clients holds after the first deployment, and never after."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from azure_cli import Azure, Refused

from gateway.auth.keys import SECRET_BYTES, hash_of, make_key

ROOT = Path(__file__).parents[1]
#: Used where it exists and no other file is named.
FILE = ROOT / "infra/callers.json"
#: What the parameter files read the callers from.
VARIABLE = "GATEWAY_CALLERS"


def first_callers(azure: Azure, group: str, file: str | None) -> tuple[dict[str, str], str]:
    """The environment that gives the template its first callers, and the key that was made for them, if any.

    There are none while a vault has callers: that secret is the operator's from then on. Resource Manager is
    asked, which tells that a secret exists without a role on its value. Raises Refused.
    """
    given = None if file is None and not FILE.exists() else read(Path(file or FILE))
    vaults = [found["name"] for found in azure.read("keyvault", "list", "--resource-group", group) or []]
    if azure.dry_run:
        vaults = ["<vault>"]
    ours = [
        vault for vault in vaults if has_secret(azure, group, vault, "gateway-deployments") or azure.dry_run
    ]
    if any(has_callers(azure, group, vault) for vault in ours):
        # Whatever the shell has exported for a deployment by hand would write over them.
        return {VARIABLE: "null"}, ""
    if given is not None:
        return {VARIABLE: json.dumps(given)}, ""
    if azure.dry_run:
        return {VARIABLE: json.dumps(operator("sha256:<of a new key>"))}, ""
    if os.environ.get("CI"):
        raise Refused(f"{FILE} does not exist. In CI no first key is made, since it would stand in the log.")
    key = make_key(secrets.token_bytes(SECRET_BYTES))
    return {VARIABLE: json.dumps(operator(hash_of(key)))}, key


def operator(digest: str) -> dict[str, Any]:
    """The callers where nobody names any: one administrator with one key."""
    return {"clients": [{"name": "operator", "keys": [{"hash": digest}], "admin": True}]}


def read(path: Path) -> Any:
    """The callers of a file, as the template's types have them. Raises Refused.

    The gateway also takes a key that is a hash alone, and an audience that is not in a list.
    """
    try:
        callers = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: {error}") from None
    if not isinstance(callers, dict):
        raise Refused(f'{path}: must be a document such as {{"clients": [...]}}')
    for client in callers.get("clients") or []:
        if isinstance(client, dict) and isinstance(client.get("keys"), list):
            client["keys"] = [{"hash": key} if isinstance(key, str) else key for key in client["keys"]]
    entra = callers.get("entra")
    if isinstance(entra, dict) and isinstance(entra.get("audience"), str):
        entra["audience"] = [entra["audience"]]
    return callers


def has_callers(azure: Azure, group: str, vault: str) -> bool:
    """Whether a vault says who may call. Raises Refused where Azure does not tell."""
    return has_secret(azure, group, vault, "gateway-clients")


def has_secret(azure: Azure, group: str, vault: str, name: str) -> bool:
    """Whether a vault has a secret. Raises Refused where Azure does not tell."""
    what = ["--namespace", "Microsoft.KeyVault", "--parent", f"vaults/{vault}", "--resource-type", "secrets"]
    what += ["--name", name, "--api-version", "2024-11-01"]
    return bool(azure.read("resource", "show", "--resource-group", group, *what))
