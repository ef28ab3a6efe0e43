"""scripts/prove, which was never run against Azure, against a stand-in for `az`."""

from __future__ import annotations

import re

PROVE = ("scripts/prove", "--location", "swedencentral")


def test_a_dry_run_prints_every_command_and_runs_none(az):
    code, output = az.run(*PROVE, "--dry-run")

    assert (0, []) == (code, az.asked()), output
    assert 1 == len(set(re.findall(r"rg-gateway-proof-\w+", output)))
    assert 2 == output.count("az deployment group create")
    assert 3 == output.count("config-zip")
    assert "development.bicepparam" in output
    assert output.index("config-zip") < output.index("az group delete") < output.index("az keyvault purge")
    assert 4 == len(re.findall(r"^== .*: \d+ s$", output, re.MULTILINE))


def test_what_was_made_is_taken_down_when_a_step_fails(az):
    az.answer("deployment group create", code=1, error="ERROR: InsufficientQuota")
    az.answer("role assignment list", [])
    az.answer("cognitiveservices account list", [])

    code, output = az.run(*PROVE)

    assert 1 == code
    assert "InsufficientQuota" in output
    assert "Traceback" not in output
    # The stand-in says that there is no such group, as before the first deployment.
    assert ["deployment", "group", "create"] == next(
        line for line in az.asked() if "create --resource" in line
    ).split()[:3]
    assert "group exists" in az.asked()[-1]
