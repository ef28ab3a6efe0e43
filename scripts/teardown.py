"""Delete what scripts/deploy made: the resource group with all that is in it, and the roles given elsewhere.

    scripts/teardown --resource-group RG

Deleted vaults and accounts keep their names for days (docs/deployment.md, "Taking it down"); `--purge` frees
them where that is allowed. `--dry-run` prints every command and runs none.
"""

from __future__ import annotations

import argparse
from typing import Any

from azure_cli import Azure, Refused, confirm, run_script


def main() -> None:
    """Run the steps. Raises Refused."""
    options = arguments()
    group = options.resource_group
    azure = Azure(subscription=options.subscription, dry_run=options.dry_run)
    azure.check()
    if not azure.read("group", "exists", "--name", group, default=azure.dry_run):
        raise Refused(
            f"there is no resource group {group}. Deleted vaults and accounts that still hold names: "
            "`az keyvault list-deleted`, `az cognitiveservices account list-deleted`"
        )
    azure.print("resource", "list", "--resource-group", group, "--output", "table")
    if not options.yes and not azure.dry_run:
        confirm("All of this is deleted. Type the resource group's name to go on: ", group)

    # What holds a name after its end is not listed any more once it is deleted.
    vaults, accounts = named(azure, group)
    delete_roles(azure, group)
    azure.run("group", "delete", "--name", group, "--yes", label="deleting")
    failed = [not free_vault(azure, vault, purge=options.purge) for vault in vaults]
    failed += [not free_account(azure, group, account, purge=options.purge) for account in accounts]
    if any(failed):
        raise Refused("Not all names are free: run the commands above again that failed.")


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


def named(azure: Azure, group: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The vaults and the accounts of the group. Raises Refused."""
    unknown = azure.dry_run
    vaults = azure.read("keyvault", "list", "--resource-group", group) or []
    if unknown:
        vaults = [{"name": "<vault>", "location": "<region>"}]
    vaults = [azure.read("keyvault", "show", "--name", vault["name"], default=vault) for vault in vaults]
    accounts = azure.read("cognitiveservices", "account", "list", "--resource-group", group) or []
    return vaults, [{"name": "<account>", "location": "<region>"}] if unknown else accounts


def delete_roles(azure: Azure, group: str) -> None:
    """Delete the roles that the group's identities have elsewhere. Raises Refused."""
    identities = azure.read("identity", "list", "--resource-group", group) or []
    if azure.dry_run:
        identities = [{"principalId": "<identity>"}]
    for identity in identities:
        who = ("--assignee", identity["principalId"])
        found = azure.read("role", "assignment", "list", *who, "--all") or []
        outside = [
            role["id"] for role in found if f"/resourcegroups/{group.lower()}/" not in role["scope"].lower()
        ]
        if azure.dry_run:
            outside = ["<role assignment>"]
        if outside:
            # Others may own those accounts; a role of an identity that is gone opens nothing.
            attempt(azure, "role", "assignment", "delete", "--ids", *outside, label="roles")


def free_vault(azure: Azure, vault: dict[str, Any], *, purge: bool) -> bool:
    """Purge a deleted vault where that is wanted and allowed, else say until when it holds its name.

    False where purging fails.
    """
    properties = vault.get("properties") or {}
    days = properties.get("softDeleteRetentionInDays", 90)
    if properties.get("enablePurgeProtection"):
        print(f"The vault {vault['name']} is protected against purging: its name is taken for {days} days.")
        return True
    if not purge:
        print(f"The vault {vault['name']} can be recovered for {days} days, and so long its name is taken.")
        return True
    where = ("--name", vault["name"], "--location", vault["location"])
    return attempt(azure, "keyvault", "purge", *where, label="purging")


def free_account(azure: Azure, group: str, account: dict[str, Any], *, purge: bool) -> bool:
    """The same for a deleted account."""
    if not purge:
        print(f"The account {account['name']} can be recovered for 48 hours, and so long its name is taken.")
        return True
    where = ("--name", account["name"], "--resource-group", group, "--location", account["location"])
    return attempt(azure, "cognitiveservices", "account", "purge", *where, label="purging")


def attempt(azure: Azure, *command: str, label: str) -> bool:
    """Whether a command succeeded that nothing else waits for; otherwise what it says is shown."""
    try:
        azure.run(*command, label=label)
    except Refused as error:
        print(error, flush=True)
        return False
    return True


if __name__ == "__main__":
    run_script(main)
