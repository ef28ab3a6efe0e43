"""Chat answers and streams, key by key and chunk by chunk."""

import json
import random
import time

import pytest

from simulator.calls import Call, paced
from simulator.config import Account, Deployment
from simulator.filters import Verdict
from simulator.testing import serve

USAGE = {"stream_options": {"include_usage": True}}
ASYNC = {"content_filter": "async"}


def key_orders(value, path="$"):
    """The keys of every object, in order, so that shapes can be compared without their values."""
    if isinstance(value, dict):
        yield path, list(value)
        for key, inner in value.items():
            yield from key_orders(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value[:1]:
            yield from key_orders(inner, f"{path}[]")


def shape(value):
    return dict(key_orders(value))


def test_a_whole_answer_has_its_keys_in_alphabetical_order(simulate):
    body = simulate().chat().json()

    assert [
        "choices", "created", "id", "model", "object", "prompt_filter_results", "system_fingerprint", "usage",
    ] == list(body)  # fmt: skip
    choice = body["choices"][0]
    assert ["content_filter_results", "finish_reason", "index", "logprobs", "message"] == list(choice)
    assert ["annotations", "content", "refusal", "role"] == list(choice["message"])


def test_the_model_of_an_answer_is_the_dated_base_model(simulate):
    client = simulate({"model": "gpt-4.1-mini"})

    assert "gpt-4.1-mini-2025-04-14" == client.chat().json()["model"]


def test_the_answer_repeats_the_prompt_as_it_was(simulate):
    text = simulate().chat("Grüße, 世界 🌍 and\u2028more").json()["choices"][0]["message"]["content"]

    assert text.endswith("Grüße, 世界 🌍 and\u2028more")


def test_a_stream_has_the_recorded_chunks_in_the_recorded_order(simulate, recordings):
    recorded = {name: entry["value"] for name, entry in recordings["stream"].items()}
    first, role, *contents, final, usage, done = simulate({"model": "gpt-4o-mini"}).events(**USAGE)

    assert recorded["azure_first_chunk"] == first
    assert shape(recorded["azure_role_chunk"] | {"usage": None}) == shape(role)
    assert recorded["azure_role_chunk"]["choices"] == role["choices"]
    assert shape(recorded["azure_final_chunk"]) == shape(final)
    assert recorded["azure_final_chunk"]["choices"] == final["choices"]
    assert recorded["azure_final_chunk"]["model"] == final["model"]
    assert shape(recorded["azure_usage_chunk"]) == shape(usage)
    assert ("", []) == (usage["obfuscation"], usage["choices"])
    assert all(set(content["choices"][0]["delta"]) == {"content"} for content in contents)
    assert 1 == len({event["id"] for event in [role, *contents, final, usage]})
    assert [None] * (len(contents) + 2) == [event["usage"] for event in [role, *contents, final]]
    assert "[DONE]" == done


def test_the_first_chunk_is_sent_with_the_recorded_bytes(simulate, recordings):
    text = simulate().chat(stream=True).text
    recorded = json.dumps(recordings["stream"]["azure_first_chunk"]["value"], separators=(",", ":"))

    assert text.startswith(f"data: {recorded}\n\n")


def test_a_stream_without_include_usage_says_nothing_of_usage(simulate):
    assert all("usage" not in event for event in simulate().events() if event != "[DONE]")


def test_stream_and_whole_answer_hold_the_same_text_and_usage(simulate):
    client = simulate()
    whole = client.chat().json()
    events = client.events(**USAGE)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[1:-3])

    assert whole["choices"][0]["message"]["content"] == text
    assert whole["usage"] == events[-2]["usage"]


def test_a_stream_is_sent_as_an_event_stream_in_chunks(simulate):
    reply = simulate().chat(stream=True)

    assert "text/event-stream; charset=utf-8" == reply.headers["content-type"]
    assert "chunked" == reply.headers["transfer-encoding"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_answer_ends_at_the_bound_with_finish_reason_length(simulate, name):
    body = simulate().chat(**{name: 2}).json()

    assert ("length", 2) == (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"])
    assert "This is" == body["choices"][0]["message"]["content"]


def test_several_choices_are_numbered_in_both_forms(simulate):
    client = simulate()
    events = client.events(n=2)

    assert [0, 1] == [choice["index"] for choice in client.chat(n=2).json()["choices"]]
    finishes = [event["choices"][0] for event in events[1:-1] if event["choices"][0]["finish_reason"]]
    assert [(0, "stop"), (1, "stop")] == [(item["index"], item["finish_reason"]) for item in finishes]


def test_a_fixed_answer_is_brought_to_the_wanted_number_of_tokens(simulate):
    body = simulate({"answer": "Hello there", "answer_tokens": 50}).chat().json()

    assert 50 == body["usage"]["completion_tokens"]
    assert body["choices"][0]["message"]["content"].startswith("Hello there ")


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "array", "items": {"type": "integer"}},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("hi", {"tool_choice": "required"}),
        ("hi", {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ("[[tool]]", {}),
    ],
)
def test_a_wanted_tool_is_called_with_arguments_that_fit(simulate, text, choice):
    body = simulate().chat(text, tools=[TOOL], **choice).json()["choices"][0]
    call = body["message"]["tool_calls"][0]

    assert "tool_calls" == body["finish_reason"]
    assert ("weather", {"city": "text", "days": [1]}) == (
        call["function"]["name"],
        json.loads(call["function"]["arguments"]),
    )


def test_a_tool_is_not_called_without_reason(simulate):
    assert "stop" == simulate().chat(tools=[TOOL]).json()["choices"][0]["finish_reason"]


def test_a_streamed_tool_call_names_the_tool_first_and_then_its_arguments(simulate):
    deltas = [
        event["choices"][0]["delta"]
        for event in simulate().events(tools=[TOOL], tool_choice="required")[1:-2]
    ]
    first, *others = [delta["tool_calls"][0] for delta in deltas]

    assert ("weather", "") == (first["function"]["name"], first["function"]["arguments"])
    assert {"id", "index", "type", "function"} == set(first)
    assert all({"index", "function"} == set(other) for other in others)
    assert {"city", "days"} == set(json.loads("".join(other["function"]["arguments"] for other in others)))


def test_structured_output_fits_its_schema(simulate):
    node = {"type": "object", "properties": {"name": {"enum": ["a", "b"]}, "next": {"$ref": "#/$defs/node"}}}
    schema = {
        "type": "object",
        "$defs": {"node": node},
        "properties": {"count": {"type": "integer"}, "node": {"anyOf": [{"$ref": "#/$defs/node"}]}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    content = json.loads(simulate().chat(response_format=wanted).json()["choices"][0]["message"]["content"])

    assert 1 == content["count"]
    assert "a" == content["node"]["next"]["name"]


# Content filter


def test_a_withheld_answer_has_finish_reason_content_filter_and_no_text(simulate):
    choice = simulate().chat("[[filter-out:violence]]").json()["choices"][0]

    assert ("content_filter", "") == (choice["finish_reason"], choice["message"]["content"])
    assert {"filtered": True, "severity": "high"} == choice["content_filter_results"]["violence"]


def test_a_withheld_answer_may_lack_its_message_as_documented(simulate, recordings):
    choice = simulate().chat("[[filter-out-bare:hate]]").json()["choices"][0]
    documented = recordings["azure_filtered_completion_choice"]["value"]

    assert list(documented) == list(choice)
    assert documented["content_filter_results"]["hate"] == choice["content_filter_results"]["hate"]
    assert documented["finish_reason"] == choice["finish_reason"]


def test_a_stream_that_is_withheld_ends_with_finish_reason_content_filter(simulate):
    *_, final, done = simulate().events("[[filter-out:violence]]")
    choice = final["choices"][0]

    assert ("content_filter", True) == (
        choice["finish_reason"],
        choice["content_filter_results"]["violence"]["filtered"],
    )
    assert "[DONE]" == done


def test_a_filter_that_is_down_says_so_and_lets_the_text_through(simulate):
    choice = simulate().chat("[[filter-down]]").json()["choices"][0]

    assert {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}} == choice[
        "content_filter_results"
    ]
    assert "stop" == choice["finish_reason"]


def test_the_asynchronous_filter_annotates_beside_the_text_and_after_its_end(simulate, recordings):
    documented = recordings["stream"]["azure_async_filter_chunk"]["value"]
    events = simulate(ASYNC).events()
    beside = [event for event in events[:-1] if event["id"] == ""]
    finished = next(index for index, event in enumerate(events) if event["choices"][0]["finish_reason"])

    assert [shape(documented)] * 2 == [shape(event) for event in beside]
    assert beside[-1] == events[finished + 1]
    assert "prompt_filter_results" not in events[0]
    assert all("content_filter_results" not in event["choices"][0] for event in events[:-1] if event["id"])


def test_a_block_by_the_asynchronous_filter_ends_the_stream_as_documented(simulate, recordings):
    documented = recordings["stream"]["azure_async_filter_block"]["value"]
    *_, block, done = simulate(ASYNC).events("[[filter-out:protected_material_text]]")
    choice = block["choices"][0]

    assert shape(documented) == shape(block)
    assert documented["choices"][0]["content_filter_results"] == choice["content_filter_results"]
    assert "content_filter" == choice["finish_reason"]
    assert "[DONE]" == done


def test_without_a_filter_nothing_is_annotated(simulate):
    client = simulate({"content_filter": "off"})

    assert "filter_results" not in client.chat("[[filter:hate]]").text
    assert "filter_results" not in client.chat(stream=True).text


# Reasoning models


def test_a_reasoning_model_refuses_max_tokens_as_recorded(simulate, recordings):
    reply = simulate({"model": "o3-mini", "reasoning": True}).chat(max_tokens=5)

    assert recordings["azure_errors"]["400_unsupported_parameter"]["body"] == reply.json()


def test_a_reasoning_model_takes_the_default_temperature_only(simulate, recordings):
    client = simulate({"model": "o3-mini", "reasoning": True})

    assert recordings["azure_errors"]["400_unsupported_value"]["body"] == client.chat(temperature=0.5).json()
    assert 200 == client.chat(temperature=1).status_code


def test_a_reasoning_model_reports_the_tokens_of_its_thought(simulate):
    usage = simulate({"model": "o3-mini", "reasoning": True}).chat().json()["usage"]

    assert 64 == usage["completion_tokens_details"]["reasoning_tokens"]
    assert usage["completion_tokens"] > 64


def test_o1_does_not_stream(simulate):
    client = simulate({"model": "o1", "reasoning": True, "streams": False})
    error = client.chat(stream=True).json()["error"]

    assert ("unsupported_value", "stream") == (error["code"], error["param"])
    assert 200 == client.chat(stream=False).status_code


@pytest.mark.parametrize(
    ("more", "param"),
    [
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
            "messages[1].role",
        ),
        ({"messages": [{"role": "developer", "content": "b"}]}, "messages[0].role"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
    ],
)
def test_o1_mini_takes_no_instructions_and_no_calls_side_by_side(simulate, more, param):
    client = simulate({"model": "o1-mini", "reasoning": True, "system_messages": False})

    assert param == client.chat(**more).json()["error"]["param"]
    assert 200 == client.chat().status_code


@pytest.mark.parametrize(("version", "status"), [("2023-12-01-preview", 200), ("2024-10-21", 404)])
def test_extensions_are_a_path_of_old_versions(simulate, version, status):
    body = {"messages": [{"role": "user", "content": "hi"}], "enhancements": {}, "dataSources": []}
    client = simulate()

    path = f"/openai/deployments/gpt/extensions/chat/completions?api-version={version}"
    assert status == client.post(path, body).status_code
    assert 400 == client.post(path.replace("extensions/", ""), body).status_code


# Parameters


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "messages"),
        ({"messages": []}, "empty_array", "messages"),
        ({"messages": "hi"}, "invalid_type", "messages"),
        ({"messages": ["hi"]}, "invalid_type", "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "missing_required_parameter", "messages[0].role"),
        ({"max_tokens": "5"}, "invalid_type", "max_tokens"),
        ({"max_tokens": -1}, "integer_below_min_value", "max_tokens"),
        ({"max_tokens": 1e308}, "invalid_type", "max_tokens"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"temperature": True}, "invalid_type", "temperature"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"stream": True, "stream_options": []}, "invalid_type", "stream_options"),
        ({"stream_options": {}}, None, "stream_options"),
        ({"bogus": 1}, None, None),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(simulate, body, code, param):
    messages = {} if body == {} else {"messages": [{"role": "user", "content": "x"}]}
    reply = simulate().post(
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21", messages | body
    )
    error = reply.json()["error"]

    assert (400, code, param) == (reply.status_code, error["code"], error["param"])
    assert {"message", "type", "param", "code"} == set(error)


def test_a_number_below_the_minimum_is_refused_as_recorded(simulate, recordings):
    reply = simulate().chat(max_tokens=-1)

    assert recordings["openai_errors"]["400_below_min"]["body"] == reply.json()


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ({"bogus": 1}, "Unrecognized request argument supplied: bogus"),
        ({"a": 1, "b": 2}, "Unrecognized request arguments supplied: a, b"),
    ],
)
def test_unknown_arguments_are_listed(simulate, unknown, message):
    assert message == simulate().chat(**unknown).json()["error"]["message"]


@pytest.mark.parametrize(
    ("version", "parameter", "status"),
    [
        ("2024-02-01", {"stream": True, **USAGE}, 400),
        ("2024-10-21", {"stream": True, **USAGE}, 200),
        ("2024-10-21", {"reasoning_effort": "low"}, 400),
        ("2025-04-01-preview", {"reasoning_effort": "low"}, 200),
    ],
)
def test_later_parameters_are_unknown_to_earlier_versions(simulate, version, parameter, status):
    assert status == simulate().chat(version=version, **parameter).status_code


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'"x"', b"null", b"{", b'{"messages": NaN}', b'{"a": Infinity}', b'{"a":"\\ud83d"}',
        b'{"a":"\xff"}', b"[" * 10_000, '{"a": "x"}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused_as_recorded(simulate, recordings, body):
    reply = simulate().post("/openai/deployments/gpt/chat/completions?api-version=2024-10-21", content=body)

    assert (400, recordings["openai_errors"]["400_json"]["body"]) == (reply.status_code, reply.json())


def test_a_prompt_above_the_context_length_is_refused(simulate):
    reply = simulate({"context_tokens": 100}).chat("x" * 401)

    assert ("context_length_exceeded", "messages") == (
        reply.json()["error"]["code"],
        reply.json()["error"]["param"],
    )
    assert "model_error" == reply.reason_phrase
    assert "100 tokens" in reply.json()["error"]["message"]
    assert "101 tokens" in reply.json()["error"]["message"]


# Cadence


def arrival_times(simulate, latency):
    client = simulate({"answer": "one two three four", "content_filter": "off", "latency": latency})
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    url = f"{client.running.url}/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    start = time.monotonic()
    with client.http.stream("POST", url, json=body, headers={"api-key": "k"}) as reply:
        return [time.monotonic() - start for _ in reply.iter_raw()]


def test_a_stream_begins_after_its_first_latency_and_goes_on_token_by_token(simulate):
    times = arrival_times(simulate, {"first_ms": [100, 100], "token_ms": [40, 40]})

    assert times[0] >= 0.1
    assert times[-1] >= 0.1 + 4 * 0.04
    assert len(times) >= 5


def test_bursts_release_several_tokens_together():
    deployment = Deployment(name="gpt", model="m", latency={"token_ms": [40, 40], "burst": 2})
    account = Account(name="a", deployments=(deployment,))
    call = Call(account, deployment, {}, Verdict(), 0, random.Random(1))
    events = [(False, {}), *[(True, {})] * 5, (False, {})]

    assert [0, 0.08, 0, 0.08, 0, 0.08, 0, 0] == [pause for pause, _ in paced(call, events)]


def test_a_whole_answer_takes_as_long_as_its_tokens(simulate):
    client = simulate({"answer": "one two three", "latency": {"first_ms": [50, 50], "token_ms": [30, 30]}})
    start = time.monotonic()
    client.chat()

    assert time.monotonic() - start >= 0.14


# OpenAI's platform


def test_the_platform_answers_in_its_own_key_order_without_annotations(http, parse_events):
    account = {
        "name": "o",
        "kind": "openai",
        "keys": ["sk"],
        "deployments": [{"name": "gpt", "model": "gpt-4o"}],
    }
    with serve({"accounts": [account]}) as running:
        body = {"model": "gpt", "messages": [{"role": "user", "content": "x"}]}

        def post(**options):
            headers = {"Authorization": "Bearer sk"}
            return http.post(f"{running.url}/v1/chat/completions", json=body | options, headers=headers)

        whole = post()
        events = parse_events(post(stream=True).text)

    assert [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "service_tier",
        "system_fingerprint",
    ] == list(whole.json())
    assert whole.text.startswith('{\n  "id"')
    assert "req_" == whole.headers["x-request-id"][:4]
    assert "2020-10-01" == whole.headers["openai-version"]
    assert "chat.completion.chunk" == events[0]["object"]
    assert "filter" not in whole.text
