"""The real Bicep compiler, one process for all calls: diagnostics, compiled templates and snapshots, without Azure."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PARAMETERS = Path(__file__).parent / "parameters"

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = "rg-gateway"
#: The resource group's own region, which no parameter file names.
LOCATION = "norwayeast"

HOW_TO_GET_ONE = (
    "no Bicep compiler was found, so infra/ is not checked. Set BICEP to one, put `bicep` on PATH "
    "(https://github.com/Azure/bicep/releases), or run `az bicep install`"
)


def find(environ: Mapping[str, str], beside: Path, home: Path) -> str | None:
    """The compiler: $BICEP, `bicep` on PATH, one beside the repository, or what `az bicep install` fetched."""
    if environ.get("BICEP"):
        return environ["BICEP"]
    candidates = (
        shutil.which("bicep", path=environ.get("PATH", "")),
        beside / "shared/tools/bicep/bicep",
        home / ".azure/bin/bicep",
    )
    return next((str(path) for path in candidates if path and os.access(path, os.X_OK)), None)


def require(path: str | None, *, in_ci: bool) -> str:
    """The compiler's path. Without one the tests are skipped, or fail in CI: there nothing is left unchecked."""
    if path is None:
        (pytest.fail if in_ci else pytest.skip)(HOW_TO_GET_ONE)
    return path


class Compiler:
    """`bicep jsonrpc`; each call takes milliseconds where a process of its own takes seconds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._calls = 0

    def call(self, method, **params):
        self._calls += 1
        body = json.dumps(
            {"jsonrpc": "2.0", "id": self._calls, "method": f"bicep/{method}", "params": params}
        ).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()
        length = 0
        while header := self._process.stdout.readline().strip():
            length = int(header.partition(b":")[2])
        assert length, "the compiler has ended"
        answer = json.loads(self._process.stdout.read(length))
        if "error" in answer:
            raise ValueError(answer["error"]["message"])
        return answer["result"]

    def diagnostics(self, path: Path) -> list[str]:
        """What compiler and linter say of a template or a parameter file."""
        if path.suffix == ".bicep":
            result = self.call("compile", path=str(path))
        else:
            result = self.call("compileParams", path=str(path), parameterOverrides={})
        return [
            f"{found['source']}: {found['level']} {found['code']}: {found['message']}"
            for found in result["diagnostics"]
        ]

    def template(self, path: Path):
        """A template as Azure gets it."""
        return json.loads(self.call("compile", path=str(path))["contents"])

    def parameters(self, path: Path):
        """The values of a parameter file."""
        result = self.call("compileParams", path=str(path), parameterOverrides={})
        return {
            name: entry["value"] for name, entry in json.loads(result["parameters"])["parameters"].items()
        }

    def snapshot(self, path: Path):
        """The resources and outputs that a parameter file would make. Raises ValueError where Azure would refuse."""
        place = {"subscriptionId": SUBSCRIPTION, "location": LOCATION}
        if path.name != "subscription.bicepparam":
            place["resourceGroup"] = GROUP
        answer = self.call("getSnapshot", path=str(path), metadata=place, externalInputs=[])
        return json.loads(answer["snapshot"])


@contextlib.contextmanager
def running(path: str, **variables: str) -> Iterator[Compiler]:
    """A compiler for as long as the block lasts; parameter files may read these variables of the environment."""
    process = subprocess.Popen(
        [path, "jsonrpc", "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # It needs no libicu then, which slim images lack, and a third less time for a run as short as this.
        env=os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_TieredPGO": "0"} | variables,
    )
    try:
        yield Compiler(process)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
