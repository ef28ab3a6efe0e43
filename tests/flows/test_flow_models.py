"""Models that take other bodies than most do, behind names that say so in the configuration only."""

from __future__ import annotations

import json

import pytest
from support.calls import MESSAGES, call, chat, opened

WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, *MESSAGES]
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}


def sent(simulator):
    """The body that upstream got last."""
    return json.loads(simulator.log[-1]["body"])


@pytest.mark.parametrize("model", ["o1", "o1-mini", "o3-mini"])
def test_a_chat_reaches_a_reasoning_model_as_it_takes_it(gateway, simulator, model):
    body = {"messages": WITH_SYSTEM, "max_tokens": 500, "temperature": 1}

    answer = chat(gateway.port, model, **body)

    assert (200, "stop") == (answer.status, answer.json()["choices"][0]["finish_reason"])
    assert (500, False) == (sent(simulator)["max_completion_tokens"], "max_tokens" in sent(simulator))
    roles = [message["role"] for message in sent(simulator)["messages"]]
    assert ["user" if model == "o1-mini" else "system", "user"] == roles


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_model_refuses_is_a_400_without_a_call(gateway, simulator, stream):
    before = len(simulator.log)

    answer = chat(gateway.port, "o1", top_p=0.5, stream=stream)

    assert (400, "top_p", "unsupported_parameter") == (
        answer.status,
        answer.error["param"],
        answer.error["code"],
    )
    assert "application/json" == answer.headers["content-type"]
    assert before == len(simulator.log)


def test_what_the_model_refuses_is_left_out_where_the_configuration_says_so(gateway, simulator):
    given = {"top_p": 0.5, "temperature": 0, "logit_bias": {"5": 1}, "parallel_tool_calls": False, "seed": 3}

    assert 200 == chat(gateway.port, "o1-dropping", **given).status
    assert {"messages", "model", "seed"} >= sent(simulator).keys()


def test_a_deployment_whose_model_nobody_named_gets_the_bytes(gateway, simulator):
    answer = chat(gateway.port, "unnamed-o1", max_tokens=5)

    assert (400, "max_tokens") == (answer.status, answer.error["param"])
    assert 5 == sent(simulator)["max_tokens"]


def test_in_a_mixed_group_each_member_gets_the_body_that_it_takes(gateway, simulator):
    first = chat(gateway.port, "o1-or-mini", max_tokens=500)
    adapted = sent(simulator)
    second = chat(gateway.port, "o1-or-mini", max_tokens=500, top_p=0.5)

    assert ("o1-2024-12-17", 500) == (first.json()["model"], adapted["max_completion_tokens"])
    assert ("gpt-4o-mini-2024-07-18", 500) == (second.json()["model"], sent(simulator)["max_tokens"])


@pytest.mark.parametrize("usage", [False, True])
def test_a_model_that_cannot_stream_is_streamed_all_the_same(gateway, simulator, usage):
    options = {"stream_options": {"include_usage": True}} if usage else {}

    answer = chat(gateway.port, "o1", stream=True, **options)

    assert (200, "[DONE]") == (answer.status, answer.events[-1])
    assert answer.headers["content-type"].startswith("text/event-stream")
    chunks = [chunk for chunk in answer.events[:-1] if chunk["choices"]]
    role, *pieces, end = [chunk["choices"][0] for chunk in chunks]
    assert ("assistant", {}, "stop") == (role["delta"]["role"], end["delta"], end["finish_reason"])
    assert len(pieces) >= 2
    assert "Say hello" in answer.text
    assert 1 == len({chunk["id"] for chunk in answer.events[:-1]})
    assert usage == (answer.events[-2]["choices"] == [])
    assert not {"stream", "stream_options"} & sent(simulator).keys()


def test_an_emulated_stream_has_tools_and_several_choices(gateway):
    answer = chat(
        gateway.port, "o1", stream=True, n=2, tools=[TOOL], messages=[{"role": "user", "content": "[[tool]]"}]
    )

    for index in (0, 1):
        choices = [
            chunk["choices"][0] for chunk in answer.events[:-1] if chunk["choices"][0]["index"] == index
        ]
        calls = [each for choice in choices for each in choice["delta"].get("tool_calls", ())]
        assert ("get_weather", {0}) == (calls[0]["function"]["name"], {each["index"] for each in calls})
        assert isinstance(json.loads("".join(each["function"]["arguments"] for each in calls)), dict)
        assert "tool_calls" == choices[-1]["finish_reason"]


def test_an_error_before_an_emulated_stream_is_a_json_error(gateway, simulator):
    error = {"error": {"message": "No.", "type": "invalid_request_error", "param": "x", "code": "c"}}
    simulator.fault("deployment-o1", {"status": 400, "body": error})

    answer = chat(gateway.port, "o1", stream=True)

    assert (400, "c", "application/json") == (
        answer.status,
        answer.error["code"],
        answer.headers["content-type"],
    )


def test_the_silence_of_a_model_that_cannot_stream_is_filled(impatient):
    body = {"model": "o1-slow", "messages": MESSAGES, "stream": True}
    with opened(impatient.port, "POST", "/v1/chat/completions", body) as response:
        lines = [line for line in response.read().decode().split("\n\n") if line]

    silent = [line for line in lines if '"delta":{},"finish_reason":null' in line]
    assert silent, lines
    assert lines[: len(silent)] == silent
    assert ("data: [DONE]", True) == (lines[-1], '"finish_reason":"stop"' in lines[-2])


def test_a_model_that_streams_itself_is_asked_to(gateway, simulator):
    answer = chat(gateway.port, "o3-mini", stream=True, max_tokens=500)

    assert ("[DONE]", True) == (answer.events[-1], "Say hello" in answer.text)
    assert (True, 500) == (sent(simulator)["stream"], sent(simulator)["max_completion_tokens"])


# Instruct deployments


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_on_an_instruct_deployment_keeps_roles_and_answers_as_a_chat(gateway, simulator, stream):
    answer = chat(gateway.port, "instruct", messages=WITH_SYSTEM, max_completion_tokens=400, stream=stream)

    assert 200 == answer.status
    found = answer.events[:-1] if stream else [answer.json()]
    assert {"chat.completion.chunk" if stream else "chat.completion"} == {each["object"] for each in found}
    text = answer.text if stream else found[0]["choices"][0]["message"]["content"]
    assert "Say hello" in text
    body = sent(simulator)
    assert (400, False) == (body["max_tokens"], "messages" in body)
    assert body["prompt"].index("System: Be brief.") < body["prompt"].index("User: Say hello")
    assert simulator.log[-1]["path"].startswith("/openai/deployments/deployment-completions/completions")


def test_tools_on_an_instruct_deployment_are_a_400_without_a_call(gateway, simulator):
    before = len(simulator.log)

    answer = chat(gateway.port, "instruct", tools=[TOOL])

    assert (400, "tools") == (answer.status, answer.error["param"])
    assert before == len(simulator.log)


@pytest.mark.parametrize(
    ("prompt", "choices"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)], ids=str
)
def test_every_form_of_prompt_reaches_an_instruct_deployment(gateway, simulator, prompt, choices):
    body = {"model": "instruct", "prompt": prompt, "best_of": 2, "max_tokens": 9, "echo": True, "suffix": "x"}

    answer = call(gateway.port, "POST", "/v1/completions", body)
    stream = call(gateway.port, "POST", "/v1/completions", body | {"stream": True})

    assert (200, choices) == (answer.status, len(answer.json()["choices"]))
    assert (prompt, 2) == (sent(simulator)["prompt"], sent(simulator)["best_of"])
    assert choices == len({choice["index"] for event in stream.events[:-1] for choice in event["choices"]})
