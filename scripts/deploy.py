"""Deploy the gateway: the templates of infra/, then the code, then a few calls to see that it works.

    scripts/deploy --resource-group RG --location swedencentral

Safe to run again: templates say what should be there, and the secret with the callers is written only while
there is none. `--dry-run` prints every command and runs none. docs/deployment.md explains each step.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from azure_cli import Azure, Refused, confirm, show, until
from package import write_zip

from gateway.auth.keys import SECRET_BYTES, hash_of, make_key

ROOT = Path(__file__).parents[1]

DEPLOYMENT = "gateway"

#: What is read back from the deployment in a dry run.
PLACEHOLDER = {
    "functionAppName": "<app>",
    "endpoint": "<endpoint>",
    "keyVaultName": "<vault>",
    "location": "<region>",
}

#: Seconds: a remote build takes one to three minutes, a new role up to ten until it holds everywhere.
BUILD_SECONDS = 300
ROLE_SECONDS = 600


def main() -> None:
    """Run the steps. Raises Refused."""
    options = arguments()
    azure = Azure(subscription=options.subscription, dry_run=options.dry_run)
    azure.check()
    key = os.environ.get("GATEWAY_KEY", "")

    if options.code_only:
        gateways = deployed(azure, options.resource_group)
        if not gateways:
            raise Refused("nothing is deployed in that resource group yet: run this without --code-only")
    else:
        make_group(azure, options.resource_group, options.location)
        env, new_key = first_callers(azure, options.resource_group, Path(options.callers))
        if new_key:
            # Before anything can fail: it is printed nowhere else and stored by nobody.
            print(f"The first key, of the client `operator`; it is shown once, so keep it now:\n  {new_key}")
        key = key or new_key
        gateways = make_infrastructure(azure, options, env)

    deploy_code(azure, options.resource_group, gateways)
    for gateway in [] if options.no_smoke_test else gateways:
        wait_until_ready(azure, gateway["endpoint"])
        smoke_test(azure, gateway["endpoint"], key, options.model)
    next_steps(gateways[0])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/deploy", description="Deploy the gateway to Azure.")
    parser.add_argument("--resource-group", required=True, help="made if it does not exist")
    parser.add_argument("--location", help="region of a resource group that is made")
    parser.add_argument("--subscription", help="name or id; az's own default if left out")
    parser.add_argument(
        "--parameters", default=str(ROOT / "infra/main.bicepparam"), help="a .bicepparam file"
    )
    parser.add_argument(
        "--callers",
        default=str(ROOT / "infra/callers.json"),
        help="the first callers, as in the secret gateway-clients; without the file, one with a new key",
    )
    parser.add_argument("--code-only", action="store_true", help="leave the infrastructure as it is")
    parser.add_argument(
        "--no-smoke-test", action="store_true", help="for a gateway that is not reached from here"
    )
    parser.add_argument(
        "--model", help="model of the smoke test; the first that is not for embeddings or speech"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before changing anything")
    parser.add_argument("--dry-run", action="store_true", help="print every command and run none")
    return parser.parse_args()


def make_group(azure: Azure, group: str, location: str | None) -> None:
    """Make the resource group if it is not there. Raises Refused."""
    if azure.read("group", "exists", "--name", group, default=False):
        return
    if not location:
        raise Refused(f"the resource group {group} does not exist: pass --location to make it")
    azure.run("group", "create", "--name", group, "--location", location)


def deployed(azure: Azure, group: str) -> list[dict[str, str]]:
    """The gateways that the last deployment made, one for each region; none before the first."""
    query = ("--query", "properties.outputs.gateways.value")
    found = azure.read(
        "deployment", "group", "show", "--resource-group", group, "--name", DEPLOYMENT, *query, default=[]
    )
    return found or ([PLACEHOLDER] if azure.dry_run else [])


def first_callers(azure: Azure, group: str, path: Path) -> tuple[dict[str, str], str]:
    """The environment that gives the template its first callers, and the key that was made for them, if any.

    Both are empty while a vault has callers: that secret is the operator's from then on. Resource Manager is
    asked, which tells that a secret exists without a role on its value. Raises Refused.
    """
    vaults = [
        vault["name"] for vault in azure.read("keyvault", "list", "--resource-group", group, default=[]) or []
    ]
    if azure.dry_run:
        vaults = [PLACEHOLDER["keyVaultName"]]
    ours = [
        vault for vault in vaults if azure.dry_run or has_secret(azure, group, vault, "gateway-deployments")
    ]
    lacking = [vault for vault in ours if not has_secret(azure, group, vault, "gateway-clients")]
    if len(lacking) < len(ours):
        for vault in lacking:
            print(f'The vault {vault} has no callers yet: docs/deployment.md, "Two regions".')
        return {}, ""
    if path.exists():
        return {"GATEWAY_CALLERS": json.dumps(json.loads(path.read_text()))}, ""
    if os.environ.get("CI"):
        raise Refused(f"{path} does not exist. In CI no first key is made, since it would stand in the log.")
    key = make_key(secrets.token_bytes(SECRET_BYTES))
    callers = {"clients": [{"name": "operator", "keys": [{"hash": hash_of(key)}], "admin": True}]}
    return {"GATEWAY_CALLERS": json.dumps(callers)}, "" if azure.dry_run else key


def has_secret(azure: Azure, group: str, vault: str, name: str) -> bool:
    """Whether a vault has a secret. Raises Refused where Azure does not tell."""
    what = ["--namespace", "Microsoft.KeyVault", "--parent", f"vaults/{vault}", "--resource-type", "secrets"]
    what += ["--name", name, "--api-version", "2024-11-01"]
    return bool(azure.read("resource", "show", "--resource-group", group, *what))


def make_infrastructure(
    azure: Azure, options: argparse.Namespace, env: dict[str, str]
) -> list[dict[str, str]]:
    """Show what would change, ask, and deploy the templates. Returns the gateways. Raises Refused."""
    target = [
        "--resource-group",
        options.resource_group,
        "--name",
        DEPLOYMENT,
        "--parameters",
        options.parameters,
    ]
    azure.print("deployment", "group", "what-if", *target, env=env)
    if not options.yes and not azure.dry_run:
        confirm("Deploy this? Type yes: ", "yes")
    made = azure.run("deployment", "group", "create", *target, label="infrastructure", env=env)
    if azure.dry_run:
        return [PLACEHOLDER]
    try:
        return list(made["properties"]["outputs"]["gateways"]["value"])
    except (KeyError, TypeError):
        raise Refused(f"{options.parameters} leads to no gateways: does it use infra/main.bicep?") from None


def deploy_code(azure: Azure, group: str, gateways: list[dict[str, str]]) -> None:
    """Send the package to every app, where Azure builds it. Raises Refused after three tries."""
    package = ROOT / "dist/gateway.zip"
    show([sys.executable, "scripts/package.py"])
    if not azure.dry_run:
        package.parent.mkdir(exist_ok=True)
        write_zip(package)
    for gateway in gateways:
        name = gateway["functionAppName"]
        command = [
            "functionapp",
            "deployment",
            "source",
            "config-zip",
            "--resource-group",
            group,
            "--name",
            name,
        ]
        for attempt in (1, 2, 3):
            try:
                azure.run(*command, "--src", str(package), label=f"code to {name}")
                break
            except Refused as error:
                if attempt == 3:
                    raise
                print(f"{error}\nTrying again in 30 s; a new role takes minutes until it holds.")
                time.sleep(float(os.environ.get("DEPLOY_RETRY_SECONDS", "30")))


def wait_until_ready(azure: Azure, endpoint: str) -> None:
    """Wait until the app serves, and until it has read its configuration. Raises Refused."""
    for path, seconds, reason in (
        ("/healthz", BUILD_SECONDS, "the app does not start"),
        ("/readyz", ROLE_SECONDS, "the app has no configuration"),
    ):
        show(["curl", "--fail", f"{endpoint}{path}"])
        if azure.dry_run:
            continue
        if not until(partial(is_ok, endpoint + path), f"waiting for {path}", seconds=seconds):
            raise Refused(f"{endpoint}{path} is not 200 after {seconds} s: {reason} (docs/deployment.md)")


def smoke_test(azure: Azure, endpoint: str, key: str, model: str | None) -> None:
    """Health, models, one chat, one stream. Raises Refused at the first that fails."""
    show(["curl", f"{endpoint}/v1/models", "--header", "Authorization: Bearer $GATEWAY_KEY"])
    show(
        [
            "curl",
            f"{endpoint}/v1/chat/completions",
            "--header",
            "Authorization: Bearer $GATEWAY_KEY",
            "--data",
            "...",
        ]
    )
    if azure.dry_run:
        return
    if not key:
        status, _ = call(f"{endpoint}/v1/models")
        expect("without a key", status == 401, f"status {status}")
        print("Set GATEWAY_KEY to a client's key to try models, a chat and a stream as well.")
        return
    status, body = call(f"{endpoint}/v1/models", key)
    expect("models", status == 200, f"status {status}: {body[:300]}")
    names = [entry["id"] for entry in json.loads(body)["data"]]
    chosen = model or next((name for name in names if not is_special(name)), "")
    expect("a model to chat with", bool(chosen), f"only {', '.join(names)}; name one with --model")
    question: dict[str, Any] = {
        "model": chosen,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_completion_tokens": 200,
    }
    status, body = call(f"{endpoint}/v1/chat/completions", key, question)
    expect(f"chat with {chosen}", status == 200 and '"choices"' in body, f"status {status}: {body[:300]}")
    status, body = call(f"{endpoint}/v1/chat/completions", key, question | {"stream": True})
    expect(
        f"stream from {chosen}", status == 200 and "data: [DONE]" in body, f"status {status}: {body[:300]}"
    )


def is_special(model: str) -> bool:
    """Whether a model's name says that it is not for chat."""
    return any(
        part in model
        for part in ("embedding", "tts", "speech", "whisper", "transcribe", "image", "moderation")
    )


def expect(what: str, holds: bool, otherwise: str) -> None:
    """Report a step of the smoke test. Raises Refused."""
    if not holds:
        raise Refused(f"Smoke test, {what}: {otherwise}")
    print(f"  ok: {what}")


def is_ok(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    return call(url)[0] == 200


def call(url: str, key: str = "", body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and body of one request; status 0 where nothing answered."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)  # noqa: S310 - our own endpoint
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own endpoint
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def next_steps(gateway: dict[str, str]) -> None:
    """Say where it is and what to do now."""
    print(f"""
The gateway: {gateway["endpoint"]}/v1

  curl {gateway["endpoint"]}/v1/chat/completions -H "Authorization: Bearer $GATEWAY_KEY" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "gpt-5.4-mini", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Next: clients with keys and limits of their own (`python -m gateway keys new`, then `config push` to the vault
{gateway["keyVaultName"]}): docs/deployment.md. Routing: docs/configuration.md. Code alone: --code-only.""")


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(str(refused))
