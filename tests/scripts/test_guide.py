"""docs/deployment.md, against the scripts and templates that it speaks of."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import finished

from gateway.__main__ import _parser as gateway_parser
from gateway.variables import DEFAULTS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/deployment.md").read_text()


@pytest.mark.parametrize("script", ["deploy", "teardown", "prove"])
def test_the_options_it_names_are_those_of_the_scripts(script):
    named = {
        option
        for line in re.findall(rf"scripts/{script}\b([^`\n]*)", GUIDE)
        for option in re.findall(r"--[a-z-]+", line.partition("#")[0])
    }

    code, output = finished(f"scripts/{script}", "--help", PYTHON=sys.executable)

    assert 0 == code, output
    assert named
    assert set() == named - set(re.findall(r"--[a-z-]+", output))


def test_the_parameters_it_names_are_those_of_the_templates():
    templates = (ROOT / "infra/main.bicep").read_text() + (ROOT / "infra/types.bicep").read_text()
    named = set(re.findall(r"`param (\w+) =", GUIDE)) | {
        "addressPrefix",
        "alwaysReady",
        "dnsResourceGroup",
        "network",
        "operators",
        "perInstanceConcurrency",
        "regions",
        "rpmPerUnit",
        "spilloverDeploymentName",
        "zoneRedundant",
    }

    assert [] == [
        name for name in sorted(named) if name not in GUIDE or not re.search(rf"\b{name}\b", templates)
    ]


def test_its_commands_can_be_copied():
    """Each block is a shell's, and `python -m gateway` takes every command of its own."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", GUIDE, re.MULTILINE | re.DOTALL)
    text = re.sub(r"<[^>\n]+>", "placeholder", "\n".join(blocks))
    checked = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)  # noqa: S607
    commands = re.findall(r"python -m gateway ([^`\n#|>&;]+)", text + GUIDE.replace(".venv/bin/", ""))

    assert (0, "") == (checked.returncode, checked.stderr)
    assert 5 < len(commands)
    for command in commands:
        gateway_parser().parse_args(shlex.split(re.sub(r"<[^>]*$", "placeholder", command)))


def test_the_defaults_it_names_are_those_of_the_settings():
    held = int(DEFAULTS["GATEWAY_MAX_HELD_BYTES"] or 0) // 1_000_000

    assert f"`GATEWAY_KEEP_ALIVE`, {DEFAULTS['GATEWAY_KEEP_ALIVE']} s" in GUIDE
    assert f"`GATEWAY_MAX_HELD_BYTES` ({held} MB)" in GUIDE


def test_its_costs_follow_from_its_formula():
    """2 GB, calls of 5 s; the prices are those that stand in the guide."""
    formula = GUIDE.partition("on demand     =")[2].partition("```")[0]
    assert ["0.000026", "0.40", "0.000004", "0.000016", "0.40"] == re.findall(r"0\.\d+", formula)

    def on_demand(millions, seconds, instances=1):
        busy = 1 - math.exp(-millions * 5_000_000 / seconds)
        return (instances * busy * seconds * 2 - 100_000) * 0.000026 + (millions - 0.25) * 0.40

    def always_ready(millions, seconds):
        busy = 1 - math.exp(-millions * 5_000_000 / seconds)
        return seconds * 2 * (0.000004 + busy * 0.000016) + millions * 0.40

    month, office = 2_592_000, 22 * 36_000
    rows = [
        ("evenly over the month: on demand", on_demand(1, month), on_demand(10, month)),
        ("with one always ready", always_ready(1, month), always_ready(10, month)),
        ("22 days of 10 hours: on demand", on_demand(1, office), on_demand(10, office, instances=2)),
    ]
    for words, *expected in rows:
        row = next(line for line in GUIDE.splitlines() if words in line and line.startswith("|"))
        assert [f"{dollars:.0f}" for dollars in expected] == re.findall(r"\*\*\$(\d+)\*\*", row)


def test_what_it_links_to_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE)

    assert links
    assert [] == [link for link in links if not (ROOT / "docs" / link).exists()]


def test_roles_have_the_names_that_azure_gives_them():
    """The roles of infra/roles.bicep, by the names that a reader finds in the portal."""
    named = {
        "Storage Blob Data Owner",
        "Storage Table Data Contributor",
        "Key Vault Secrets User",
        "Key Vault Secrets Officer",
        "Cognitive Services OpenAI User",
        "Monitoring Metrics Publisher",
    }
    written = re.findall(r"^  (\w+): '", (ROOT / "infra/roles.bicep").read_text(), re.MULTILINE)

    assert {name.lower().replace(" ", "") for name in named} == {name.lower() for name in written}
    assert [] == [name for name in sorted(named) if name not in GUIDE]
