"""Deployments with what changes about them, and which account a request is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.auth import bearer
from simulator.config import Account, Config, Deployment
from simulator.faults import FaultQueue
from simulator.quota import Quota
from simulator.routes import style_of


@dataclass(slots=True)
class Place:
    """A deployment with its counters and the faults that await it."""

    account: Account
    deployment: Deployment
    quota: Quota
    faults: FaultQueue


def places_of(config: Config) -> dict[tuple[str, str], Place]:
    """Every deployment by account and name, its counters at zero."""
    return {
        (account.name, deployment.name): Place(
            account, deployment, Quota(account, deployment), FaultQueue(list(deployment.faults))
        )
        for account in config.accounts
        for deployment in account.deployments
    }


def account_for(config: Config, path: str, lines: Mapping[str, str]) -> Account:
    """The account a request is for: by path, then by the kind of API, then by its credential."""
    accounts = config.accounts
    fitting = [account for account in accounts if path.startswith(account.path + "/")] or list(accounts)
    longest = max(len(account.path) for account in fitting)
    fitting = [account for account in fitting if len(account.path) == longest]
    style = style_of(path[longest:])
    if style is not None:
        wanted = "azure" if style == "azure" else "openai"
        fitting = [account for account in fitting if account.kind == wanted] or fitting
    credentials = {lines.get("api-key"), bearer(lines)} - {None}
    for account in fitting:
        if not credentials.isdisjoint(account.all_keys) or not credentials.isdisjoint(account.tokens or ()):
            return account
    return fitting[0]
