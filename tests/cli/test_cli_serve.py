"""`python -m gateway serve` as its user meets it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.calls import KEY, MESSAGES, PATIENCE, call, chat, connect, head, opened, post, refuses, wait_for
from support.programs import finished, gateway_command, running, seconds_until_end
from support.upstream import AZURE_KEY, member

from simulator.ports import free_port

SERVE = (sys.executable, "-m", "gateway", "serve")
#: The same, with ten minutes for requests in flight after Ctrl-C: what ends, ends by itself.
PATIENT = "import sys; from gateway import __main__; from gateway.cli import serve; serve.GRACE = 600.0; sys.exit(__main__.main())"
PATIENTLY = (sys.executable, "-c", PATIENT, "serve")


@contextlib.contextmanager
def serving(*arguments, command=SERVE, **settings):
    port = free_port()
    with running(*command, "--port", str(port), *arguments, **settings) as program:
        assert wait_for(lambda: answers(port)), program.output()
        yield port, program


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return call(port, "GET", "/readyz", key=None).status == 200
    return False


def write(tmp_path, **sections):
    entries = [member("gpt-4o", "deployment-default", "https://example.openai.azure.com")]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_list": entries} | sections))
    return str(path)


def test_serve_answers_with_the_configuration_it_is_given(config_file):
    with serving("--config", str(config_file)) as (port, _):
        assert 200 == chat(port, "gpt-4o").status
        assert 401 == call(port, "GET", "/v1/models", key="other").status


def test_the_flag_wins_over_the_setting(config_file):
    with serving("--config", str(config_file), GATEWAY_CONFIG="/no/such/file") as (port, _):
        assert 200 == chat(port, "gpt-4o").status


def test_the_setting_names_the_configuration_where_the_flag_does_not(config_file):
    with serving(GATEWAY_CONFIG=str(config_file)) as (port, _):
        assert 200 == chat(port, "gpt-4o").status


def test_serve_listens_on_loopback_alone(config_file):
    with serving("--config", str(config_file)) as (port, _):
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        listening = [row[1] for row in rows if row[3] == "0A"]

        assert [f"0100007F:{port:04X}"] == [place for place in listening if place.endswith(f":{port:04X}")]


def test_serve_takes_another_address(config_file):
    port = free_port()
    with running(*SERVE, "--config", str(config_file), "--host", "127.0.0.2", "--port", str(port)) as program:

        def connects():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.2", port), timeout=1):
                return True
            return False

        assert wait_for(connects), program.output()


def test_a_taken_port_is_one_line(config_file):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code, output = finished(*SERVE, "--config", str(config_file), "--port", str(port))

    assert (1, f"Cannot listen on 127.0.0.1:{port}: Address already in use\n") == (code, output)


def test_without_a_master_key_serve_does_not_start_and_says_why(tmp_path):
    code, output = finished(*SERVE, "--config", write(tmp_path), "--port", "0")

    assert (1, 1) == (code, output.count("\n"))
    assert output.startswith("general_settings.master_key: ")
    assert "allow" in output


@pytest.mark.parametrize(
    ("arguments", "settings", "sections"),
    [
        (["--allow-anonymous"], {}, {}),
        ([], {"GATEWAY_ALLOW_ANONYMOUS": "1"}, {}),
        ([], {}, {"general_settings": {"allow_anonymous": True}}),
    ],
    ids=["flag", "setting", "document"],
)
def test_an_opening_lets_everybody_in(tmp_path, arguments, settings, sections):
    with serving("--config", write(tmp_path, **sections), *arguments, **settings) as (port, _):
        assert [200, 200] == [call(port, "GET", "/v1/models", key=key).status for key in (None, "any")]


@pytest.mark.parametrize(
    ("arguments", "settings", "opening"),
    [
        (["--allow-anonymous"], {}, {}),
        ([], {"GATEWAY_ALLOW_ANONYMOUS": "1"}, {}),
        ([], {}, {"allow_anonymous": True}),
    ],
    ids=["flag", "setting", "document"],
)
def test_a_master_key_and_an_opening_at_once_are_refused(tmp_path, arguments, settings, opening):
    path = write(tmp_path, general_settings={"master_key": "sk-1"} | opening)

    code, output = gateway_command("serve", "--config", path, "--port", "0", *arguments, **settings)

    assert (1, 1) == (code, output.count("\n"))
    assert "general_settings.master_key" in output
    assert "sk-1" not in output


def test_a_wrong_configuration_lists_every_problem_and_no_secret(tmp_path):
    entries = [
        member("a", "d", "https://a.openai.azure.com", api_vresion="x", api_key="the-secret"),
        member("b", "d", "ftp://b", rpm=-1),
    ]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_list": entries}))

    code, output = gateway_command("serve", "--config", str(path))

    assert 1 == code
    for place in ("[0].litellm_params.api_vresion", "[1].litellm_params.api_base", "[1].litellm_params.rpm"):
        assert f"model_list{place}: " in output
    assert [] == [word for word in ("the-secret", AZURE_KEY, "Traceback") if word in output]


@pytest.mark.parametrize(
    ("arguments", "settings", "problem"),
    [
        ([], {}, "GATEWAY_CONFIG: is not set"),
        (["--config", "/no/such/file"], {}, "document: the file cannot be read"),
        (
            [],
            {"GATEWAY_CONFIG": "{}", "GATEWAY_STREAM_HOLD": "soon"},
            "GATEWAY_STREAM_HOLD: must be a number",
        ),
        (
            [],
            {"GATEWAY_CONFIG": "{}", "GATEWAY_ALLOW_ANONYMOUS": "maybe"},
            "GATEWAY_ALLOW_ANONYMOUS: must be 1 or 0",
        ),
    ],
)
def test_what_keeps_serve_from_starting_is_one_line(arguments, settings, problem):
    code, output = gateway_command("serve", *arguments, **settings)

    assert (1, 1) == (code, output.count("\n"))
    assert output.startswith(problem)


@pytest.mark.parametrize(
    "arguments", [[], ["srve"], ["serve", "--prot", "1"], ["serve", "--port", "x"], ["check"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments):
    code, output = gateway_command(*arguments)

    assert (2, True) == (code, "usage: python -m gateway" in output)


def test_help_names_the_commands():
    code, output = finished(sys.executable, "-m", "gateway", "--help")

    assert (0, True, True) == (code, "serve" in output, "check" in output)


def test_ctrl_c_lets_requests_in_flight_finish(config_file, pool):
    whole = pool.solo({"delay_s": 1.5})
    body = {"model": "slow", "messages": MESSAGES, "stream": True}
    with serving("--config", str(config_file)) as (port, program), connect(port) as waiting:
        waiting.sendall(post("/v1/chat/completions", {"model": whole.name, "messages": MESSAGES}))
        assert wait_for(lambda: pool.counts(whole) == [1])
        with opened(port, "POST", "/v1/chat/completions", body) as stream:
            first = stream.read1()
            program.interrupt()
            assert wait_for(lambda: refuses(port))
            rest = stream.read()
        reply = http.client.HTTPResponse(waiting)
        reply.begin()

        assert (200, True) == (reply.status, b"choices" in reply.read())
        assert (True, True) == (bool(first), rest.endswith(b"data: [DONE]\n\n"))
        assert 0 == program.wait()
        assert [] == program.left_behind()


def test_ctrl_c_without_requests_ends_at_once_and_silently(config_file):
    with serving("--config", str(config_file), command=PATIENTLY) as (_, program):
        program.interrupt()

        assert (0, "") == (program.wait(), program.output())


def test_a_request_that_never_ends_holds_ctrl_c_for_a_few_seconds_only(config_file, pool):
    model = pool.solo({"delay_s": 600})
    with serving("--config", str(config_file)) as (port, program), connect(port) as waiting:
        waiting.sendall(post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES}))
        assert wait_for(lambda: pool.counts(model) == [1])
        program.interrupt()

        # Upstream's answer would take ten minutes.
        assert 2 < seconds_until_end(program)
        assert (0, []) == (program.process.returncode, program.left_behind())
    assert wait_for(lambda: pool.log(*model.deployments)[0]["disconnected"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_second_ctrl_c_ends_at_once(config_file, pool, stream):
    model = pool.solo({"delay_s": 600})
    with (
        serving("--config", str(config_file), command=PATIENTLY) as (port, program),
        connect(port) as waiting,
    ):
        waiting.sendall(
            post("/v1/chat/completions", {"model": model.name, "messages": MESSAGES, "stream": stream})
        )
        assert wait_for(lambda: pool.counts(model) == [1])
        program.interrupt()
        # Two signals before it has looked are one to it.
        assert wait_for(lambda: refuses(port))
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.5)
        program.interrupt()

        assert 0 == program.wait()
        assert "Traceback" not in program.output()


def test_an_idle_connection_does_not_hold_ctrl_c(config_file):
    with (
        serving("--config", str(config_file), command=PATIENTLY) as (port, program),
        connect(port) as idle,
        connect(port) as half,
    ):
        idle.sendall(head("GET", "/healthz"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        half.sendall(b"POST /v1/chat")
        program.interrupt()

        assert (0, "") == (program.wait(), program.output())


def test_requests_are_logged_as_json_lines_on_standard_output(config_file):
    with serving("--config", str(config_file)) as (port, program):
        answer = chat(port, "gpt-4o")
        assert wait_for(lambda: answer.headers["x-request-id"] in program.output())

        lines = [json.loads(line) for line in program.output().splitlines()]

    assert [answer.headers["x-request-id"]] == [line["request_id"] for line in lines]
    assert KEY not in str(lines)


IN_A_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def test_serve_ends_with_its_terminal_and_with_no_other_hang_up(config_file):
    port = free_port()
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *SERVE, "--config", str(config_file), "--port", str(port)],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert wait_for(lambda: answers(port))
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert answers(port)
    finally:
        os.close(ours)
        try:
            code = process.wait(PATIENCE)
        finally:
            process.kill()
    assert 0 == code
