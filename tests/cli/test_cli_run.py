"""`make run`: the gateway with a simulated Azure behind it, as a newcomer meets it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from support.calls import PATIENCE, call, chat, opened, refuses, wait_for
from support.processes import ROOT
from support.programs import finished, marked, running

from simulator.ports import free_port

READY = "The gateway is ready at"
#: `-o` because a test must not rebuild the environment it runs in.
MAKE = ("make", "--no-print-directory", "-o", ".venv/ready", "run")
#: A prompt whose echo takes the demo's model some seconds.
LONG = [{"role": "user", "content": "one two three four five six seven eight nine ten " * 8}]


@contextlib.contextmanager
def demo(**settings):
    """`make run` on a free port, once it says that it is ready."""
    port = free_port()
    with running(*MAKE, PORT=str(port), **settings) as program:
        assert wait_for(lambda: READY in program.output() or program.process.poll() is not None)
        assert READY in program.output(), program.output()
        yield port, program


@pytest.fixture(scope="module")
def ready():
    """One demo for the tests that only look at it."""
    with demo() as (port, program):
        yield port, program.output()


def test_the_curl_line_works_when_pasted(ready):
    _, output = ready
    command = re.search(r"^curl .*?\n\n", output, re.MULTILINE | re.DOTALL)[0]

    pasted = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=True
    )

    assert '"choices"' in pasted.stdout
    assert "Hello" in pasted.stdout


def test_the_python_snippet_works_when_pasted(ready):
    _, output = ready
    python = re.search(r"^In Python \((\S+) has the client\):$", output, re.MULTILINE)[1]
    snippet = re.search(r"^from openai import OpenAI\n.*?\n\n", output, re.MULTILINE | re.DOTALL)[0]

    pasted = subprocess.run(
        [python, "-c", snippet], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=True
    )

    assert "Hello" in pasted.stdout


def test_the_address_in_the_snippets_is_the_port_that_was_asked_for(ready):
    port, output = ready

    assert {str(port)} == set(re.findall(r"http://127\.0\.0\.1:(\d+)", output))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}),
        ("chat/completions", {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}),
        ("completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}),
        ("embeddings", {"model": "text-embedding-3-small", "input": "Hi"}),
        ("audio/speech", {"model": "azure/tts-1", "input": "Hi", "voice": "alloy"}),
    ],
)
def test_every_operation_works_in_the_demo(ready, path, body):
    port, _ = ready

    assert 200 == call(port, "POST", f"/v1/{path}", body, key="sk-demo").status


def test_the_demo_needs_its_key(ready):
    port, _ = ready

    assert 401 == call(port, "GET", "/v1/models", key="other").status


def test_ctrl_c_lets_the_answer_under_way_finish_and_leaves_no_process_behind():
    body = {"model": "gpt-4o", "messages": LONG, "stream": True}
    with demo() as (port, program):
        with opened(port, "POST", "/v1/chat/completions", body, key="sk-demo") as stream:
            stream.read1()
            program.interrupt()
            rest = stream.read()
        program.wait()

        assert rest.endswith(b"data: [DONE]\n\n")
        assert [] == program.left_behind()
        assert "Traceback" not in program.output()


def test_a_second_ctrl_c_leaves_no_process_behind_either():
    body = {"model": "gpt-4o", "messages": LONG * 3, "stream": True}
    with (
        demo() as (port, program),
        opened(port, "POST", "/v1/chat/completions", body, key="sk-demo") as stream,
    ):
        stream.read1()
        program.interrupt()
        assert wait_for(lambda: refuses(port))
        program.interrupt()
        program.wait()

        assert [] == program.left_behind()
        # The answer would have gone on for longer.
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            stream.read()
        assert "Traceback" not in program.output()


def test_a_terminated_run_leaves_no_process_behind():
    port = free_port()
    with running(sys.executable, "scripts/run.py", "--port", str(port)) as program:
        assert wait_for(lambda: READY in program.output())
        os.kill(program.process.pid, signal.SIGTERM)

        assert (0, []) == (program.wait(), program.left_behind())


def test_a_taken_port_is_one_line_and_leaves_no_process_behind():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running(sys.executable, "scripts/run.py", "--port", str(port)) as program:
            code = program.wait()

            assert (1, f"Cannot listen on 127.0.0.1:{port}: Address already in use\n") == (
                code,
                program.output(),
            )
            assert [] == program.left_behind()


def test_a_configuration_of_ones_own_is_served_without_the_simulator(config_file, pool):
    port = free_port()
    with running(*MAKE, PORT=str(port), GATEWAY_CONFIG=str(config_file)) as program:
        assert wait_for(lambda: connects(port)), program.output()
        answer = chat(port, "gpt-4o")

        assert 200 == answer.status
        assert 1 == len(gateways_of(program))
        assert "sk-demo" not in program.output()
        program.interrupt()
        program.wait()
        assert [] == program.left_behind()


def gateways_of(program):
    commands = [command for _, command in marked(program.mark)]
    assert [] == [command for command in commands if "-m simulator" in command]
    return [command for command in commands if "-m gateway" in command]


def connects(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_a_wrong_configuration_of_ones_own_is_told_in_lines(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model_list: []\n")

    code, output = finished(
        sys.executable, "scripts/run.py", "--port", str(free_port()), GATEWAY_CONFIG=str(path)
    )

    assert (1, False) == (code, "Traceback" in output)
    assert output.startswith("model_list: ")


def test_make_help_lists_the_targets():
    code, output = finished("make", "help")

    assert 0 == code
    assert [] == [
        name for name in ("setup", "run", "test", "check", "soak", "bench", "help") if name not in output
    ]
