"""`make run-keyless`: the demo without any key in a file or setting.

Doubles stand for what Azure hosts: the vault holds the configuration, and keys where an upstream needs one; a
managed identity signs in to the vault and to the simulated Azure OpenAI; callers have a key of their own or a
token of Entra ID. The gateway is the ordinary one, with the settings that a function app has.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

import run
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from gateway.auth.keys import SECRET_BYTES, hash_of, make_key  # noqa: E402

CLIENT = "team-a"
#: The key of the simulated resource that the managed identity signs in to instead: the first one.
IDENTITYS_KEY = "demo-azure-key-eastus2"
SNIPPETS = """
The gateway is ready at {url} (Ctrl-C stops it). Its configuration is in a vault at {vault}.

As the client {client}, by its key:

curl {url}/v1/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "gpt-5.4-mini", "messages": [{{"role": "user", "content": "Hello"}}]}}'

By a token of Entra ID, which makes its bearer the same client for an hour:

curl {url}/gateway/me -H "Authorization: Bearer {token}"

As the operator, by the master key that is in the vault:

curl -X POST {url}/gateway/reload -H "Authorization: Bearer {master}"

"""


def main() -> int:
    """Run until Ctrl-C; returns the gateway's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=7071)
    port = parser.parse_args().port
    doubles: Any = importlib.import_module("doubles.cloud")
    simulator, upstream = run.start_simulator()
    try:
        with tempfile.TemporaryDirectory() as folder, doubles.running_cloud(Path(folder)) as cloud:
            key, master = new_key(), new_key()
            fill(cloud, upstream, key, master)
            environment = {name: value for name, value in os.environ.items() if name != "GATEWAY_CONFIG"}
            snippets = SNIPPETS.format(
                url=f"http://127.0.0.1:{port}",
                vault=cloud.vault.url,
                client=CLIENT,
                key=key,
                master=master,
                token=cloud.entra.issue(roles=["Chat"]),
            )
            return run.run_gateway(environment | cloud.environment, port, snippets)
    finally:
        simulator.terminate()
        simulator.wait()


def new_key() -> str:
    """A key that nobody has."""
    return make_key(secrets.token_bytes(SECRET_BYTES))


def fill(cloud: Any, upstream: str, key: str, master: str) -> None:
    """Put the demo's configuration into the vault, in its three parts."""
    members = yaml.safe_load(run.DEMO.read_text(encoding="utf-8"))["model_list"]
    for member in members:
        params = member["litellm_params"]
        openai = params["model"].startswith("openai/")
        params["api_base"] = f"{upstream}/v1" if openai else upstream
        if params["api_key"] == IDENTITYS_KEY:
            del params["api_key"]
        else:
            secret = "OPENAI_KEY" if openai else "SWEDEN_KEY"
            cloud.vault.put(secret.replace("_", "-"), params["api_key"])
            params["api_key"] = f"keyvault/{secret}"
    cloud.vault.put("gateway-deployments", json.dumps({"model_list": members}))
    cloud.vault.put("MASTER-KEY", master)
    cloud.vault.put("gateway-config", "general_settings:\n  master_key: keyvault/MASTER_KEY\n")
    entra = {
        "tenant_id": cloud.entra.tenant,
        "audience": "api://gateway",
        "clients": [{"client": CLIENT, "roles": ["Chat"]}],
    }
    clients = [{"name": CLIENT, "keys": [hash_of(key)], "limits": {"rpm": 60}}]
    cloud.vault.put("gateway-clients", json.dumps({"clients": clients, "entra": entra}))


if __name__ == "__main__":
    sys.exit(main())
