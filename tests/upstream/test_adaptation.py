"""Calls as models take them: what changes in a body, and what stays byte for byte."""

import json

import pytest
from support.samples import call, deployment

from gateway.protocol.calls import read
from gateway.protocol.capabilities import COMPLETES_TEXTS, capabilities_of
from gateway.protocol.json_body import parse
from gateway.protocol.operations import CHAT, COMPLETIONS
from gateway.upstream.adaptation import adapted, refusal
from gateway.upstream.outgoing import outgoing

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def of(model, **fields):
    return deployment(capabilities=capabilities_of(model), **fields)


def sent(model, body, **fields):
    """The body that a deployment of `model` gets, as bytes."""
    member = of(model, **fields)
    raw = body if isinstance(body, bytes) else json.dumps({"messages": MESSAGES, **body}).encode()
    one = adapted(read(CHAT, parse(raw), "gpt"), member)
    return outgoing(one, member, member.targets["chat"]).body


def fields(model, body, **more):
    return {key: value for key, value in json.loads(sent(model, body, **more)).items() if key != "messages"}


@pytest.mark.parametrize("model", ["gpt-4o", "azure/unknown"])
def test_an_ordinary_models_body_stays_byte_for_byte(model):
    raw = b'{ "max_tokens": 5.0, "temperature":2e0,"messages": [{"role":"developer","content":"\\u0041"}] }'

    assert raw == sent(model, raw)


def test_only_the_names_and_roles_change():
    raw = b'{ "x": 1.0, "max_tokens":  5.0 ,"messages": [ {"content":"\\u0041", "role" : "system"},{"role":"user"} ] }'

    assert (
        b'{"x": 1.0,"max_completion_tokens":5.0,"messages": '
        b'[ {"content":"\\u0041", "role" : "user"},{"role":"user"} ]}'
    ) == sent("o1-mini", raw)


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
)
def test_an_answer_has_one_bound_and_the_newer_name_wins(given, bound):
    assert {"max_completion_tokens": bound} == fields("o3", given)


def test_a_configured_bound_yields_to_the_clients():
    defaults = {"max_completion_tokens": 100}

    assert {"max_completion_tokens": 100} == fields("o3", {}, defaults=defaults)
    assert {"max_completion_tokens": 5} == fields("o3", {"max_tokens": 5}, defaults=defaults)


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [("o1-mini", "user"), ("o1-preview", "user"), ("o1", None), ("o3-mini", None), ("gpt-5", None)],
)
def test_instructions_become_the_users_where_the_model_knows_no_others(model, role, expected):
    messages = [
        {"role": role, "content": "a"},
        {"role": "assistant", "content": role},
        {"role": role, "content": "b"},
    ]

    found = json.loads(sent(model, {"messages": messages}))["messages"]

    assert [expected or role, "assistant", expected or role] == [each["role"] for each in found]
    assert ["a", role, "b"] == [each["content"] for each in found]


def test_roles_of_large_messages_change_too():
    messages = [
        {"role": "system", "content": "x" * 100_000},
        {"role": "user", "content": "\\"},
        5,
        "system",
        {"role": 3},
    ]

    found = json.loads(sent("o1-mini", {"messages": messages, "max_tokens": 5}))

    assert [{"role": "user", "content": "x" * 100_000}, *messages[1:]] == found["messages"]
    assert 5 == found["max_completion_tokens"]


@pytest.mark.parametrize(
    "messages", ['"system"', "{}", "null", "[]", "[ ]", '[["role","system"]]', '[{"role":["system"]}]']
)
def test_messages_that_are_none_are_upstreams_to_refuse(messages):
    raw = b'{"messages":%b}' % messages.encode()

    assert raw == sent("o1-mini", raw)


def test_no_more_messages_are_changed_than_any_model_takes():
    found = json.loads(sent("o1-mini", {"messages": [{"role": "system"}] * 3000}))["messages"]

    assert [{"role": "user"}] * 2048 + [{"role": "system"}] * 952 == found


def test_only_roles_become_others():
    content = 'He said "role":"system", {"role": "developer"} and \\"role\\":\\"system\\"'
    messages = [
        {"name": "role", "role": "assistant", "content": content},
        {"role": "developer", "content": "role"},
    ]

    found = json.loads(sent("o1-mini", {"messages": messages}))["messages"]

    assert [messages[0], {"role": "user", "content": "role"}] == found


REFUSED = {
    "temperature": 0.2,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 0.1,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"5": 1},
}


@pytest.mark.parametrize("model", ["o1", "o1-mini", "o3-mini", "o4-mini", "gpt-5"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_reasoning_model_refuses_is_told_by_name_or_left_out(model, name):
    one = call(messages=MESSAGES, **{name: REFUSED[name]})

    error = refusal(one, of(model))

    assert (400, name) == (error.status, error.param)
    assert error.code == ("unsupported_value" if name == "temperature" else "unsupported_parameter")
    assert refusal(one, of(model, drop_params=True)) is None
    assert {} == fields(model, {name: REFUSED[name]}, drop_params=True)
    assert refusal(one, of(model, dropped=frozenset((name,)))) is None
    assert {} == fields(model, {name: REFUSED[name]}, dropped=frozenset((name,)))


@pytest.mark.parametrize(
    "harmless", [{"temperature": 1}, {"temperature": 1.0}, {"temperature": None}, {"top_p": None}]
)
def test_what_says_nothing_passes(harmless):
    assert refusal(call(messages=MESSAGES, **harmless), of("o1")) is None


def test_calls_of_tools_side_by_side_are_left_out_only_where_parameters_may_be():
    given = {"parallel_tool_calls": False, "tools": [{"type": "function"}], "reasoning_effort": "low"}

    assert given == fields("o1", given)
    assert given.keys() - {"parallel_tool_calls"} == fields("o1", given, drop_params=True).keys()


@pytest.mark.parametrize(
    ("model", "streams"), [("o1", False), ("o1-mini", False), ("o3-mini", True), ("gpt-5", True)]
)
def test_no_stream_is_asked_of_a_model_that_has_none(model, streams):
    found = fields(model, {"stream": True, "stream_options": {"include_usage": True}})

    assert found == ({"stream": True, "stream_options": {"include_usage": True}} if streams else {})


def test_other_operations_are_left_alone():
    one = call(COMPLETIONS, prompt="x", max_tokens=5, temperature=0.1)

    assert one is adapted(one, of("o1"))
    assert refusal(one, of("o1")) is None


# Chats for models that complete texts


def text_of(body, **fields):
    member = deployment(operations=("chat", "text_completion"), capabilities=COMPLETES_TEXTS, **fields)
    one = call(**{"messages": MESSAGES, **body})
    assert refusal(one, member) is None
    return json.loads(outgoing(adapted(one, member), member, member.targets["chat"]).body)


def test_a_chat_becomes_a_prompt_that_keeps_speakers_and_turns_apart():
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}]},
    ]

    found = text_of({"messages": messages})

    assert (
        "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: And now?\n\nAssistant:"
        == found["prompt"]
    )
    assert "messages" not in found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"max_completion_tokens": 5, "max_tokens": 9, "temperature": 0.5},
            {"max_tokens": 5, "temperature": 0.5},
        ),
        ({}, {"max_tokens": 1024}),
        (
            {
                "max_tokens": 9,
                "tool_choice": "auto",
                "tools": [],
                "response_format": {"type": "text"},
                "store": False,
            },
            {"max_tokens": 9},
        ),
        (
            {"max_tokens": 9, "stop": ["x"], "n": 2, "seed": 3, "mystery": 4},
            {"max_tokens": 9, "stop": ["x"], "n": 2, "seed": 3, "mystery": 4},
        ),
    ],
)
def test_a_chats_parameters_become_a_completions(given, expected):
    assert expected == {key: value for key, value in text_of(given).items() if key not in ("prompt", "model")}


def test_a_configured_bound_holds_for_a_chat_on_an_instruct_deployment():
    assert 50 == text_of({}, defaults={"max_tokens": 50})["max_tokens"]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"functions": [{"name": "f"}]}, "functions", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "invalid_value",
        ),
        ({"messages": [{"role": "user", "content": "x" * 70_000}]}, "messages", "context_length_exceeded"),
    ],
)
def test_a_chat_that_no_text_can_say_is_a_400(given, param, code):
    error = refusal(call(**{"messages": MESSAGES, **given}), deployment(capabilities=COMPLETES_TEXTS))

    assert (400, param, code) == (error.status, error.param, error.code)


def test_tools_are_never_left_out_in_silence():
    member = deployment(capabilities=COMPLETES_TEXTS, drop_params=True)

    assert refusal(call(messages=MESSAGES, response_format={"type": "json_object"}), member) is None
    assert "tools" == refusal(call(messages=MESSAGES, tools=[{"type": "function"}]), member).param
