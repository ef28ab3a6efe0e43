"""`python -m gateway import-litellm FILE`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.__main__ import main

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


@pytest.mark.parametrize("command", ["check", "import-litellm"])
def test_the_file_may_be_named_as_litellms_users_write_it(tmp_path, capsys, monkeypatch, command):
    monkeypatch.setenv("NOT_SET", "k")
    monkeypatch.setenv("NOT_SET_EITHER", "sk-1")
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)

    codes, outputs = [], []
    for arguments in ([str(path)], ["--config", str(path)], []):
        try:
            codes.append(main([command, *arguments]))
        except SystemExit as error:
            codes.append(error.code)
        outputs.append(capsys.readouterr().out)

    assert [0, 0, 2] == codes
    assert outputs[0] == outputs[1] != ""
    assert "" == outputs[2]
