from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from support import fixtures
from support.calls import wait_for
from support.programs import running

simulator = fixtures.simulator

HERE = Path(__file__).parent


class StandIn:
    """The stand-in for `az` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A script starts it dozens of times: this interpreter without its packages starts several times as fast as
        # what `python3` may lead to.
        source = (HERE / "az").read_text().split("\n", 1)[1]
        (folder / "az").write_text(f"#!{sys.executable} -IS\n{source}")
        (folder / "az").chmod(0o755)
        self.answers = []

    def answer(
        self, words: str, output=None, *, code: int = 0, error: str = "", seconds: float = 0, text: str = ""
    ) -> None:
        """Answer the commands that hold all of `words` (apart by " & "). What was said last counts.

        `text` is printed as it is, `output` as JSON.
        """
        printed = text if output is None else json.dumps(output)
        self.answers.insert(0, [words, printed, code, error, seconds])

    def leads_to(self, url: str) -> None:
        """Answer the deployment with a gateway at this address, and with what it has written to its vault."""
        made = {
            "location": "swedencentral",
            "functionAppName": "gateway-abc",
            "endpoint": url,
            "keyVaultName": "kv-abc",
        }
        outputs = {"outputs": {"gateways": {"value": [made]}}}
        self.answer("deployment group create", {"properties": outputs})
        self.answer("deployment group show", [made])
        # Before the deployment nobody asks, since no vault is listed.
        self.answer("resource show & vaults/kv-abc & gateway-clients", {"name": "gateway-clients"})

    def vault_with(self, *secrets: str) -> None:
        """Let the resource group hold a vault with these secrets."""
        self.answer("keyvault list", [{"name": "kv-abc"}])
        for name in secrets:
            self.answer(f"resource show & vaults/kv-abc & {name}", {"name": name})

    def start(self, *command: str, **settings: str):
        """A script that runs with the stand-in on PATH, for as long as the block lasts."""
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        path = f"{self.folder}:{os.environ['PATH']}"
        found = {"PATH": path, "AZ_FOLDER": str(self.folder), "PYTHON": sys.executable}
        return running(*command, **found | settings)

    def run(self, *command: str, seconds: float = 60, **settings: str) -> tuple[int, str]:
        """Run a script to its end: exit code and output."""
        with self.start(*command, **settings) as program:
            code = program.wait(seconds)
            return code, program.output()

    def interrupted(self, *command: str, at: str, told: str) -> tuple[int, str]:
        """Run a script until `az` was asked `at` and it printed `told`, and press Ctrl-C: exit code and output."""
        with self.start(*command) as program:
            wait_for(lambda: any(at in line for line in self.asked()) and told in program.output())
            program.interrupt()
            return program.wait(), program.output()

    def asked(self) -> list[str]:
        """The commands so far, without how their output is written."""
        return [" ".join(call["command"]).removesuffix(" --output json") for call in self._log()]

    def callers(self, words: str):
        """What the first command that holds `words` was given as callers."""
        text = next(call["callers"] for call in self._log() if words in " ".join(call["command"]))
        return text and json.loads(text)

    def _log(self):
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def az(tmp_path) -> StandIn:
    """An `az` that is logged in, in a subscription where nothing is."""
    stand_in = StandIn(tmp_path)
    stand_in.answer("version", {"azure-cli": "2.91.0"})
    stand_in.answer("bicep version", "Bicep CLI version 0.49.2 (b34271ac51)")
    stand_in.answer("account show", {"name": "Contoso", "id": "00000000-0000-0000-0000-000000000001"})
    stand_in.answer("group exists", False)
    stand_in.answer("keyvault list", [])
    stand_in.answer("resource show", code=3, error="ERROR: (ResourceNotFound) The Resource was not found.")
    stand_in.answer("deployment group show", code=3, error="ERROR: (DeploymentNotFound) could not be found.")
    return stand_in


@pytest.fixture
def deployable(az) -> StandIn:
    """An `az` whose deployment leads to an app that nobody calls."""
    az.leads_to("http://127.0.0.1:9")
    return az
