"""A gateway without keys, beside doubles of what Azure hosts.

What it logs and answers is kept and searched for every secret that the doubles have and every key that was sent,
when it ends: no test can forget to look.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import Any, Self

from doubles.cloud import Cloud

from simulator.testing import Running
from support.calls import MESSAGES, Answer, call, opened, wait_for
from support.combinations import Combination
from support.gateways import Gateway, start_gateway
from support.upstream import member

MASTER, TEAM, OTHER = "master-key-canary", "team-key-canary", "other-key-canary"
UPSTREAM_KEY, NEW_UPSTREAM_KEY = "upstream-key-canary-1", "upstream-key-canary-2"
APP, APP_SECRET = "app-id", "app-secret-canary-1"
#: What no reply may name: the vault and its secrets.
PLACES = (
    "vault-canary",
    "gateway-config",
    "gateway-clients",
    "gateway-deployments",
    "MASTER-KEY",
    "UPSTREAM-KEY",
)
#: Refreshes that tests can wait for.
QUICK = {"GATEWAY_REFRESH_SECONDS": "0.4"}
CHAT = "/v1/chat/completions"


def hashed(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def client(name: str, *keys: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "keys": [hashed(key) for key in keys]} | fields


def keyless_member(name: str, base: str, **params: Any) -> dict[str, Any]:
    """A member without a key."""
    entry = member(name, "deployment-default", base, **params)
    del entry["litellm_params"]["api_key"]
    return entry


def simulated() -> dict[str, Any]:
    """The simulator's configuration, with a key that tests may rotate."""
    deployments = [{"name": "deployment-default", "model": "gpt-4o"}]
    return {"accounts": [{"name": "azure", "keys": [UPSTREAM_KEY], "deployments": deployments}]}


def rotate_keys(simulator: Running, *keys: str) -> None:
    """Let these keys alone open the simulated resource."""
    object.__setattr__(simulator.simulator.config.accounts[0], "keys", tuple(keys))


def equip(cloud: Cloud, base: str) -> None:
    """Put a configuration of three parts, and what it refers to, into the vault."""
    vault = cloud.vault
    application = {
        "tenant_id": cloud.entra.tenant,
        "client_id": APP,
        "client_secret": "keyvault/APP_SECRET",
    }
    members = [
        member("gpt-4o", "deployment-default", base, api_key="keyvault/UPSTREAM_KEY"),
        keyless_member("keyless", base),
        keyless_member("application", base, **application),
    ]
    cloud.entra.secrets = {APP: APP_SECRET}
    vault.put("gateway-deployments", {"model_list": members})
    vault.put("gateway-config", "general_settings:\n  master_key: keyvault/MASTER_KEY\n")
    vault.put("gateway-clients", {"clients": [client("team", TEAM), client("other", OTHER)]})
    for name, value in {
        "MASTER-KEY": MASTER,
        "UPSTREAM-KEY": UPSTREAM_KEY + "\n",
        "APP-SECRET": APP_SECRET,
    }.items():
        if name not in vault.secrets or value != vault.secrets[name][-1].value:
            vault.put(name, value)


class Watched:
    """A running gateway; its replies are kept."""

    def __init__(self, gateway: Gateway, cloud: Cloud) -> None:
        self.gateway = gateway
        self.cloud = cloud
        self._keys: set[str] = set()
        self._replies: list[str] = []

    def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = TEAM, **options: Any
    ) -> Answer:
        answer = call(self.gateway.port, method, path, body, key=key, **options)
        self._keep(key, f"{answer.status} {answer.headers} {answer.body.decode()}")
        return answer

    def chat(self, key: str | None = TEAM, model: str = "gpt-4o", **more: Any) -> Answer:
        return self.call("POST", CHAT, {"model": model, "messages": MESSAGES} | more, key=key)

    @contextlib.contextmanager
    def streamed(self, key: str = TEAM, model: str = "gpt-4o") -> Iterator[Any]:
        """A streamed call whose head is there; yields what reads the rest."""
        body = {"model": model, "messages": MESSAGES, "stream": True}
        with opened(self.gateway.port, "POST", CHAT, body, key=key) as response:

            def read() -> bytes:
                rest = response.read()
                self._keep(key, f"{response.headers} {rest.decode()}")
                return rest

            yield read

    def line(self, answer: Answer) -> dict[str, Any]:
        """The log line of an answer."""
        (line,) = self.gateway.lines(answer.headers["x-request-id"])
        return line

    def log(self) -> str:
        return self.gateway.log()

    def configuration(self) -> dict[str, Any]:
        """What an administrator is told of it."""
        return self.call("GET", "/readyz", key=MASTER).json()["configuration"]

    def reload(self, key: str | None = MASTER) -> Answer:
        return self.call("POST", "/gateway/reload", key=key)

    def _keep(self, key: str | None, reply: str) -> None:
        self._keys.add(key or "")
        self._replies.append(reply)

    def search(self) -> None:
        """Fail where a secret, a key that was sent or its hash stands in the log or a reply."""
        keys = self._keys - {""}
        hashes = {hashed(key).removeprefix("sha256:") for key in keys}
        replies = "".join(self._replies)
        seen = self.log() + replies
        assert [] == [secret for secret in sorted(keys | hashes | self.cloud.secrets) if secret in seen]
        assert [] == [place for place in PLACES if place in replies]


@contextlib.contextmanager
def watched(host: Combination | str, cloud: Cloud, config: Any = None, **settings: str) -> Iterator[Watched]:
    """Run a gateway with the settings of a function app that has the doubles' identity and vault, then search.

    A setting that is empty is left out.
    """
    environment = {name: value for name, value in (cloud.environment | settings).items() if value}
    with start_gateway(host, config, **environment) as gateway:
        found = Watched(gateway, cloud)
        yield found
        found.search()


def until(condition: Any) -> Any:
    """Wait for `condition`; say what it was in the end."""
    found = wait_for(condition)
    assert found, found
    return found


class Load(threading.Thread):
    """Calls one after the other, each a moment after the last, until it is told to stop; what they were answered."""

    #: Seconds between two calls: a caller that never rests keeps a core busy, and meets nothing that this one does not.
    REST = 0.02

    def __init__(self, gateway: Watched, **options: Any) -> None:
        super().__init__()
        self.gateway, self.options = gateway, options
        self.statuses: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self.REST):
            self.statuses.append(self.gateway.chat(**self.options).status)

    def go_on(self, calls: int = 5) -> None:
        """Wait for so many more calls."""
        done = len(self.statuses)
        until(lambda: len(self.statuses) > done + calls)

    def __enter__(self) -> Self:
        self.start()
        self.go_on(3)
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self.join()
