"""`python -m gateway check FILE`."""

from __future__ import annotations

import json
import sys

import pytest
from support.programs import finished, gateway_command

from gateway.cli import check as command
from gateway.settings import read

CHECK = (sys.executable, "-m", "gateway", "check")

GOOD = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/my-deployment
      api_base: https://my-resource.openai.azure.com
      api_key: os.environ/SOME_KEY
general_settings:
  master_key: sk-1234
"""

BAD = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: azure/a, api_base: "https://a.openai.azure.com", api_key: secret-key}
  - model_name: gpt-4o
    litellm_params: {model: azure/b, api_base: "http://b.openai.azure.com", api_key: os.environ/NOT_SET}
  - model_name: gpt-4o
    litellm_params: {model: azure/c, api_base: "https://c.openai.azure.com", api_vresion: "2024-10-21"}
    rpm: -5
router_setings: {}
general_settings:
  master_key: sk-1234
"""


@pytest.fixture
def check(tmp_path):
    """Check a document: exit code and output."""

    def run(text, *arguments, **settings):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return gateway_command("check", str(path), *arguments, **settings)

    return run


def test_a_valid_configuration_is_exit_code_0(check):
    code, output = check(GOOD, SOME_KEY="x")

    assert (0, "The configuration is valid.") == (code, output.splitlines()[-1])


def test_the_table_has_places_and_wildcards(capsys):
    params = {
        "model": "azure/*",
        "api_base": "https://a.openai.azure.com",
        "api_key": "k",
        "max_parallel_requests": 7,
    }
    document = {
        "model_list": [{"model_name": "azure/*", "litellm_params": params, "rpm": 60}],
        "general_settings": {"master_key": "sk-1"},
    }

    assert 0 == command.run(read({"GATEWAY_CONFIG": json.dumps(document)}), resolve=False)

    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith("azure/*  azure/*#1  azure/*  a.openai.azure.com")
    assert row.endswith("60 rpm, 7 in flight")


def test_what_will_be_called_is_a_table(check):
    more = GOOD.replace(
        "general_settings:", "router_settings: {model_group_alias: {default: gpt-4o}}\ngeneral_settings:"
    )
    head, member, alias, _ = check(more, SOME_KEY="x")[1].splitlines()

    assert [
        "MODEL",
        "MEMBER",
        "CALLS",
        "HOST",
        "API-VERSION",
        "CREDENTIAL",
        "ORDER",
        "LIMITS",
    ] == head.split()
    assert [
        "gpt-4o",
        "gpt-4o#1",
        "azure/my-deployment",
        "my-resource.openai.azure.com",
        "2024-10-21",
        "(default)",
        "api_key",
        "0",
        "none",
    ] == member.split()
    assert "default: another name of gpt-4o" == alias


def test_the_table_marks_members_whose_calls_are_changed_for_their_model(capsys):
    kinds = {
        "think": {"model": "azure/o_series/think"},
        "old": {"model": "azure/old", "base_model": "o1-mini"},
        "text": {"model": "azure_text/text"},
        "plain": {"model": "azure/plain"},
    }
    document = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {"api_base": "https://a.openai.azure.com", "api_key": "k", **params},
            }
            for name, params in kinds.items()
        ],
        "general_settings": {"master_key": "sk-1"},
    }

    assert 0 == command.run(read({"GATEWAY_CONFIG": json.dumps(document)}), resolve=False)

    lines = capsys.readouterr().out.splitlines()[:5]
    marks = [line[lines[0].index("ADAPTED") :] for line in lines]
    assert [
        "ADAPTED",
        "reasoning, emulated stream",
        "reasoning, no system role, emulated stream",
        "instruct",
        "",
    ] == marks


@pytest.mark.parametrize(
    ("line", "settings", "version"),
    [
        ("api_version: v1", {}, "v1 (api_version)"),
        ("rpm: 5", {"AZURE_API_VERSION": "2024-06-01"}, "2024-06-01 (AZURE_API_VERSION)"),
        ("timeout: 5", {}, "2024-10-21 (default)"),
    ],
)
def test_the_table_says_where_an_api_version_comes_from(check, line, settings, version):
    text = GOOD.replace("      api_key:", f"      {line}\n      api_key:")

    assert version in check(text, SOME_KEY="x", **settings)[1]


def test_every_problem_is_printed_with_its_path(check):
    code, output = check(BAD)

    lines = output.splitlines()
    assert 1 == code
    assert [
        "model_list[1].litellm_params.api_base",
        "model_list[1].litellm_params.api_key",
        "model_list[2].litellm_params.api_vresion",
        "model_list[2].rpm",
        "router_setings",
    ] == sorted(line.partition(": ")[0] for line in lines)
    assert "model_list[2].litellm_params.api_vresion: unknown key, did you mean api_version?" in lines
    assert "NOT_SET" in output
    assert [] == [secret for secret in ("secret-key", "sk-1234") if secret in output]


def test_a_duplicate_key_is_a_problem(check):
    code, output = check(GOOD + "  master_key: sk-2\n", SOME_KEY="x")

    assert (1, True) == (code, output.startswith("general_settings.master_key: "))


def test_a_closed_gateway_is_a_problem_unless_it_is_opened(check):
    closed = GOOD.replace("general_settings:\n  master_key: sk-1234\n", "")

    assert (1, 0) == (check(closed, SOME_KEY="x")[0], check(closed, "--allow-anonymous", SOME_KEY="x")[0])


def test_a_key_without_effect_is_a_warning(check):
    code, output = check(GOOD + "litellm_settings: {set_verbose: true}\n", SOME_KEY="x")

    assert 0 == code
    assert output.startswith("warning: litellm_settings.set_verbose: ") or "warning: set_verbose" in output
    assert output.endswith("The configuration is valid.\n")


def test_json_is_read_too(check):
    document = {
        "model_list": [{"model_name": "m", "litellm_params": {"model": "openai/gpt-4o", "api_key": "k"}}],
        "general_settings": {"master_key": "sk-1"},
    }

    assert 0 == check(json.dumps(document))[0]


@pytest.mark.parametrize("text", ["", "- a", "model_list: [", "\t", "model_list: []\n"])
def test_what_is_no_configuration_is_a_problem_and_no_traceback(check, text):
    code, output = check(text)

    assert (1, False, True) == (code, "Traceback" in output, bool(output.strip()))


def test_a_missing_file_is_one_line():
    code, output = finished(*CHECK, "/no/such/file.yaml")

    assert (1, 1) == (code, output.count("\n"))
    assert output.startswith("document: the file cannot be read")


@pytest.mark.parametrize("everything", [False, True])
def test_warnings_fit_on_a_screen_unless_all_are_asked_for(capsys, everything):
    clients = [
        {"name": f"team-{number}", "keys": [f"sha256:{number:064}"], "models": [f"none-{number}"]}
        for number in range(60)
    ]
    entry = {"model": "azure/a", "api_base": "https://a.openai.azure.com", "api_key": "k"}
    document = {"model_list": [{"model_name": "gpt", "litellm_params": entry}], "clients": clients}

    assert 0 == command.run(
        read({"GATEWAY_CONFIG": json.dumps(document)}), resolve=False, everything=everything
    )

    lines = capsys.readouterr().err.splitlines()
    if everything:
        assert 60 == len(lines)
    else:
        assert (40, "and 21 more warnings; --all shows them") == (len(lines), lines[-1])
