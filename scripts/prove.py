"""Try on Azure what only Azure can prove: deploy to a new resource group, deploy again, take all of it down.

    scripts/prove --location swedencentral

It shows that Azure accepts the templates, that new roles reach the app in time, that the remote build
takes the lock, that a second run leaves the callers alone, and that names are free again; and it tells
how long each step takes. It costs a few cents and 15 to 30 minutes. It was written without Azure at hand
and never run there.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

from azure_cli import Refused, run_script

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the steps. Raises Refused at the first that fails, after taking down what was made."""
    options = arguments()
    group = f"rg-gateway-proof-{secrets.token_hex(3)}"
    common = ["--resource-group", group, "--yes", *(["--dry-run"] if options.dry_run else [])]
    common += ["--subscription", options.subscription] if options.subscription else []
    parameters = ["--parameters", str(ROOT / "infra/development.bicepparam"), "--location", options.location]
    try:
        output = step("deployed, from nothing to a first stream", "deploy", *common, *parameters)
        key = (re.findall(r"\bgwk_\w+", output) or [""])[0]
        output = step("deployed again", "deploy", *common, *parameters, key=key)
        if not options.dry_run and "The first key" in output:
            raise Refused("the second deployment wrote over the callers")
        step("code alone", "deploy", *common, "--code-only", key=key)
    finally:
        step("taken down", "teardown", *common, "--purge")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/prove", description="Try on Azure what only Azure can prove."
    )
    parser.add_argument("--location", required=True)
    parser.add_argument("--subscription", help="name or id; az's own default if left out")
    parser.add_argument("--dry-run", action="store_true", help="print every command and run none")
    return parser.parse_args()


def step(what: str, script: str, *arguments: str, key: str = "") -> str:
    """Run a script, show its output and its time, and return the output. Raises Refused where it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(ROOT / "scripts" / script), *arguments],
        env=os.environ | {"GATEWAY_KEY": key, "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        raise Refused(f"Not {what}: scripts/{script} ended with {process.returncode}.")
    print(f"== {what}: {time.monotonic() - began:.0f} s", flush=True)
    return "".join(lines)


if __name__ == "__main__":
    run_script(main)
