"""`python -m gateway import-litellm FILE`."""

from __future__ import annotations

import subprocess
import sys

import pytest

GOOD = """
model_list:
  - model_name: gpt
    litellm_params: {model: azure/dep, api_base: "https://r.openai.azure.com", api_key: os.environ/NOT_SET}
general_settings: {master_key: os.environ/NOT_SET_EITHER}
"""


@pytest.fixture
def run(tmp_path):
    """Import a document: exit code, standard output, standard error."""

    def run(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        done = subprocess.run(
            (sys.executable, "-m", "gateway", "import-litellm", str(path)),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_configuration_comes_out_alone_and_notes_apart(run):
    code, output, notes = run(GOOD + "litellm_settings: {set_verbose: true}\n")

    assert (0, "model_list:") == (code, output.splitlines()[0])
    assert notes.startswith("left out: litellm_settings.set_verbose: ")


def test_a_loss_is_exit_code_1_and_what_remains_is_printed(run):
    code, output, notes = run(GOOD + "guardrails: [{guardrail_name: x}]\n")

    assert (1, "model_list:") == (code, output.splitlines()[0])
    assert notes.startswith("LOST: guardrails: ")


def test_a_file_that_cannot_be_read_is_one_message_and_no_output(run):
    code, output, notes = run("model_list: [")

    assert (1, "", 1) == (code, output, len(notes.splitlines()))
