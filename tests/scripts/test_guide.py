"""docs/deployment.md, against the scripts and templates that it speaks of."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.programs import finished

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
