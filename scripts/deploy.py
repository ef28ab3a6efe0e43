"""Deploy the gateway: the templates of infra/, then the code, then a few calls to see that it works.

    scripts/deploy --resource-group RG --location swedencentral

Safe to run again: templates say what should be there, and the secret with the callers is written only while
there is none. `--dry-run` prints every command and runs none. docs/deployment.md explains each step.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from azure_cli import Azure, Refused, confirm, run_script, show
from callers import FILE as CALLERS
from callers import first_callers, has_callers
from package import write_zip
from smoke import show_calls, smoke_test, wait_until_ready

ROOT = Path(__file__).parents[1]

DEPLOYMENT = "gateway"

#: What is read back from the deployment in a dry run.
PLACEHOLDER = {"functionAppName": "<app>", "endpoint": "<endpoint>", "keyVaultName": "<vault>"}


def main() -> None:
    """Run the steps. Raises Refused."""
    options = arguments()
    if not Path(options.parameters).exists():
        raise Refused(f"there is no file {options.parameters}")
    azure = Azure(subscription=options.subscription, dry_run=options.dry_run)
    azure.check()
    key = os.environ.get("GATEWAY_KEY", "")
    if options.code_only:
        gateways = deployed(azure, options.resource_group)
        if not gateways:
            raise Refused("nothing is deployed in that resource group yet: run this without --code-only")
    else:
        make_group(azure, options.resource_group, options.location)
        env, new_key = first_callers(azure, options.resource_group, options.callers)
        gateways = make_infrastructure(azure, options, env, new_key)
        key = key or new_key

    package = make_package(azure)
    model = options.model
    # One region after the other: code that does not work reaches the first only.
    for gateway in gateways:
        deploy_code(azure, options.resource_group, gateway["functionAppName"], package)
        if not options.no_smoke_test:
            model = try_out(azure, options.resource_group, gateway, key, model)
    next_steps(gateways[0], model or "<model>")


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
        help="the first callers, as in the secret gateway-clients: a JSON file, "
        f"{CALLERS.relative_to(ROOT)} if it exists; without one, a client with a new key",
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
    if not location and not azure.dry_run:
        raise Refused(f"the resource group {group} does not exist: pass --location to make it")
    azure.run("group", "create", "--name", group, "--location", location or "<region>")


def deployed(azure: Azure, group: str) -> list[dict[str, str]]:
    """The gateways that the last deployment made, one for each region; none before the first."""
    query = ("--query", "properties.outputs.gateways.value")
    found = azure.read(
        "deployment", "group", "show", "--resource-group", group, "--name", DEPLOYMENT, *query, default=[]
    )
    return found or ([PLACEHOLDER] if azure.dry_run else [])


def make_infrastructure(
    azure: Azure, options: argparse.Namespace, env: dict[str, str], new_key: str
) -> list[dict[str, str]]:
    """Show what would change, ask, and deploy the templates. Returns the gateways. Raises Refused."""
    target = ["--resource-group", options.resource_group, "--name", DEPLOYMENT]
    target += ["--parameters", options.parameters]
    azure.print("deployment", "group", "what-if", *target, env=env)
    if not options.yes and not azure.dry_run:
        confirm("Deploy this? Type yes: ", "yes")
    if new_key:
        # Before anything can fail: it is printed nowhere else and stored by nobody.
        print("The first key, of the client `operator`; it is shown once, so keep it now:")
        print(f"  export GATEWAY_KEY={new_key}", flush=True)
    made = azure.run("deployment", "group", "create", *target, label="infrastructure", env=env)
    if azure.dry_run:
        return [PLACEHOLDER]
    try:
        gateways = list(made["properties"]["outputs"]["gateways"]["value"])
    except (KeyError, TypeError):
        gateways = []
    if not gateways:
        raise Refused(f"{options.parameters} leads to no gateways: does it use infra/main.bicep?")
    return gateways


def make_package(azure: Azure) -> Path:
    """The package, made from the sources as they are."""
    path = ROOT / "dist/gateway.zip"
    show(["make", "package"])
    if not azure.dry_run:
        path.parent.mkdir(exist_ok=True)
        write_zip(path)
    return path


def deploy_code(azure: Azure, group: str, app: str, package: Path) -> None:
    """Send the package to an app, where Azure builds it. Raises Refused after three tries."""
    command = ["functionapp", "deployment", "source", "config-zip", "--resource-group", group]
    command += ["--name", app, "--src", str(package)]
    for attempt in (1, 2, 3):
        try:
            azure.run(*command, label=f"code to {app}")
            break
        except Refused as error:
            if attempt == 3:
                raise
            print(f"{error}\nTrying again in 30 s; a new role takes minutes until it holds.", flush=True)
            time.sleep(float(os.environ.get("DEPLOY_RETRY_SECONDS", "30")))


def try_out(azure: Azure, group: str, gateway: dict[str, str], key: str, model: str | None) -> str | None:
    """Wait for a gateway and call it; the model that was named or has answered. Raises Refused."""
    if not has_callers(azure, group, gateway["keyVaultName"]) and not azure.dry_run:
        # A region that was added later: it is not ready before somebody copies them.
        vault = gateway["keyVaultName"]
        print(f'Not tried: the vault {vault} has no callers yet (docs/deployment.md, "Two regions").')
    elif azure.dry_run:
        show_calls(gateway["endpoint"], model or "<model>")
    else:
        wait_until_ready(gateway["endpoint"])
        return smoke_test(gateway["endpoint"], key, model) or model
    return model


def next_steps(gateway: dict[str, str], model: str) -> None:
    """Say where it is and what to do now."""
    print(f"""
The gateway: {gateway["endpoint"]}/v1

  curl {gateway["endpoint"]}/v1/chat/completions -H "Authorization: Bearer $GATEWAY_KEY" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Next: clients with keys and limits of their own (`python -m gateway keys new`, then `config push` to the vault
{gateway["keyVaultName"]}): docs/deployment.md. Routing: docs/configuration.md. Code alone: --code-only.""")


if __name__ == "__main__":
    run_script(main)
