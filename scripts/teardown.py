"""Delete what scripts/deploy made: the resource group with all that is in it, and the roles given elsewhere.

    scripts/teardown --resource-group RG

Deleted vaults and accounts keep their names for days (docs/deployment.md, "Taking it down"); `--purge` frees
them where that is allowed. `--dry-run` prints every command and runs none.
"""

from __future__ import annotations

import argparse
import sys

from azure_cli import Azure, Refused, confirm
from deploy import deployed


def main() -> None:
    """Run the steps. Raises Refused."""
    options = arguments()
    group = options.resource_group
    azure = Azure(subscription=options.subscription, dry_run=options.dry_run)
    azure.check()
    if not azure.read("group", "exists", "--name", group, default=azure.dry_run):
        raise Refused(f"there is no resource group {group}")
    azure.print("resource", "list", "--resource-group", group, "--output", "table")
    if not options.yes and not azure.dry_run:
        confirm("All of this is deleted. Type the resource group's name to go on: ", group)

    listed = azure.read("keyvault", "list", "--resource-group", group, default=[])
    vaults = [
        azure.read("keyvault", "show", "--name", vault["name"], default=vault) for vault in listed or []
    ]
    accounts = azure.read("cognitiveservices", "account", "list", "--resource-group", group, default=[])
    if azure.dry_run:
        vaults = [{"name": "<vault>", "location": "<region>"}]
        accounts = [{"name": "<account>", "location": "<region>"}]
    for gateway in deployed(azure, group):
        delete_roles(azure, group, gateway.get("identityPrincipalId", "<identity>"))
    azure.run("group", "delete", "--name", group, "--yes", label="deleting")

    for vault in vaults:
        if vault.get("properties", {}).get("enablePurgeProtection"):
            days = vault["properties"]["softDeleteRetentionInDays"]
            print(
                f"The vault {vault['name']} is protected against purging: its name is taken for {days} days."
            )
        elif options.purge:
            azure.run(
                "keyvault", "purge", "--name", vault["name"], "--location", vault["location"], label="purging"
            )
    for account in accounts or []:
        if options.purge:
            where = ("--resource-group", group, "--location", account["location"])
            azure.run(
                "cognitiveservices", "account", "purge", "--name", account["name"], *where, label="purging"
            )
        else:
            print(
                f"The account {account['name']} can be recovered for 48 hours, and so long its name is taken."
            )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/teardown", description="Delete what scripts/deploy made.")
    parser.add_argument("--resource-group", required=True)
    parser.add_argument("--subscription", help="name or id; az's own default if left out")
    parser.add_argument(
        "--purge", action="store_true", help="delete vaults and accounts for good, where allowed"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="print every command and run none")
    return parser.parse_args()


def delete_roles(azure: Azure, group: str, principal: str) -> None:
    """Delete the roles that an identity has on accounts elsewhere; those in the group go with it."""
    found = azure.read("role", "assignment", "list", "--assignee", principal, "--all", default=[]) or []
    if azure.dry_run:
        found = [{"id": "<role assignment>", "scope": "<account>"}]
    outside = [
        role["id"] for role in found if f"/resourcegroups/{group.lower()}/" not in role["scope"].lower()
    ]
    if outside:
        azure.run("role", "assignment", "delete", "--ids", *outside, label="roles")


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(str(refused))
