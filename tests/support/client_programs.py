"""The clients that the gateway must work with, how each is started, and the models made for them."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator.ports import closed_port
from support.calls import KEY
from support.certificates import make_authority
from support.processes import ROOT, environment
from support.upstream import AZURE_KEY, member

SCENARIOS = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".clients"
#: Seconds after which a scenario program counts as hung.
PATIENCE = 240


@dataclass(frozen=True)
class Program:
    """A scenario program in an environment, and the clients it runs one after the other."""

    name: str
    environment: str
    family: str
    clients: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        if self.environment == "javascript":
            # From standard input, for modules are then looked for in the working directory.
            return [str(ENVIRONMENTS / "node" / "node"), "--input-type=module", "-", self.family]
        return [
            str(ENVIRONMENTS / self.environment / "bin" / "python"),
            str(SCENARIOS / "scenarios.py"),
            self.family,
        ]

    def run(
        self, gateways: Sequence[tuple[str, Sequence[str]]], authorities: Path
    ) -> list[dict[str, dict[str, Any]]]:
        """The results of every client's scenarios at each gateway, or of those that are named.

        `authorities` is a file of the certificates that the clients trust.
        """
        folder = ENVIRONMENTS / self.environment
        source = (SCENARIOS / "scenarios.mjs").read_bytes() if self.environment == "javascript" else b""
        done = subprocess.run(
            [
                *self.command,
                KEY,
                self.name,
                *(word for url, only in gateways for word in (url, ",".join(only))),
            ],
            input=source,
            cwd=folder,
            env=environment({"SSL_CERT_FILE": str(authorities)}),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert 0 == done.returncode, done.stderr.decode()[-4000:]
        return json.loads(done.stdout)


OFFICIAL = ("OpenAI", "AzureOpenAI")
PROGRAMS = (
    Program("openai-python-1", "openai-1", "openai", OFFICIAL),
    Program("openai-python-2", "openai-2", "openai", OFFICIAL),
    Program("openai-python-3", "openai-3", "openai", OFFICIAL),
    Program("langchain", "langchain", "langchain", ("ChatOpenAI", "AzureChatOpenAI")),
    Program("openai-node-4", "javascript", "openai-4", OFFICIAL),
    Program("openai-node-7", "javascript", "openai-7", OFFICIAL),
    Program("ai-sdk", "javascript", "ai-sdk", ("openai", "compatible", "azure", "azure-deployments")),
)


def require_environments() -> None:
    """Skip where scripts/clients.sh has not run; where CI runs, that is a failure."""
    missing = [
        program.environment
        for program in PROGRAMS
        if not (ENVIRONMENTS / program.environment / "ready").exists()
    ]
    if not missing:
        return
    message = (
        f"No environments for {', '.join(dict.fromkeys(missing))}: run `make test`, or scripts/clients.sh. "
        "NOT TESTED: the clients."
    )
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message)
    pytest.skip(message)


def run_all(*gateways: tuple[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The results of all programs at once, by PROGRAM/CLIENT, at each gateway.

    A gateway is its URL and which scenarios are run there (none: all). To import a client takes longer than its scenarios.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(PROGRAMS)) as threads:
        # Nothing here is called over TLS, but each of hundreds of clients would read the system's certificates.
        authorities = make_authority(Path(folder)).file
        runs = {program: threads.submit(program.run, gateways, authorities) for program in PROGRAMS}
        return [
            {
                f"{program.name}/{client}": results
                for program, run in runs.items()
                for client, results in run.result()[place].items()
            }
            for place in range(len(gateways))
        ]


def tags() -> list[str]:
    """What keeps the models of each client apart, in the order of `PROGRAMS`."""
    return [f"{program.name}-{client}" for program in PROGRAMS for client in program.clients]


def simulator_config(answer: str) -> dict[str, Any]:
    """Deployments for the scenarios; those with a tag are one client's alone."""
    limited = {"status": 429, "headers": {"retry-after": "30"}, "times": 0}
    chats: list[dict[str, Any]] = [
        {"name": "gpt-4o"},
        {"name": "fixed", "answer": answer},
        {"name": "limited", "faults": [limited]},
        {"name": "gpt-5-mini", "model": "gpt-5-mini", "reasoning": True, "answer": answer},
    ]
    for tag in tags():
        chats += [
            {
                "name": f"busy-{tag}",
                "answer": answer,
                "faults": [limited | {"times": 1, "headers": {"retry-after": "2"}}],
            },
            {"name": f"broken-{tag}", "faults": [{"preset": "server_error"}]},
            {"name": f"torn-{tag}", "faults": [{"cut": {"after": 4, "how": "reset"}}]},
            {"name": f"stalled-{tag}", "faults": [{"cut": {"after": 4, "how": "stall"}}]},
            {"name": f"silent-{tag}", "faults": [{"delay_s": 600}]},
        ]
    others = [
        {"name": "embed", "model": "text-embedding-3-small", "kind": "embeddings"},
        {"name": "tts", "model": "tts-1", "kind": "speech"},
        {"name": "instruct", "model": "gpt-35-turbo-instruct", "kind": "completions"},
    ]
    deployments = [{"model": "gpt-4o"} | chat for chat in chats] + others
    return {
        "log_size": 10_000,
        "accounts": [{"name": "azure", "keys": [AZURE_KEY], "deployments": deployments}],
    }


def gateway_config(base: str, answer: str) -> dict[str, Any]:
    """A gateway whose models have the names of their deployments. Nothing is tried again in it."""
    names = [entry["name"] for entry in simulator_config(answer)["accounts"][0]["deployments"]]
    entries = [
        member(name, name, base, **({"model": "azure_text/instruct"} if name == "instruct" else {}))
        for name in names
    ]
    entries.append(member("unreachable", "gpt-4o", f"http://127.0.0.1:{closed_port()}"))
    return {
        "model_list": entries,
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": KEY},
    }
