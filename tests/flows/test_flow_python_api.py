"""One list of scenarios, two ways in: over HTTP with the official client, and by the Python API. They must not drift."""

from __future__ import annotations

import warnings
from array import array
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import openai
import pytest
from support.calls import KEY, MESSAGES
from support.upstream import gateway_config

import gateway as python_api

CUT = {"cut": {"after": 4, "how": "reset"}}
FILTERED = {"status": 400, "body": {"error": {"code": "content_filter", "message": "Filtered."}}}
TOO_LONG = {"status": 400, "body": {"error": {"code": "context_length_exceeded", "message": "Too long."}}}
FAILING = {"preset": "server_error", "times": 0}
LIMITED = {"preset": "call_limit", "times": 0}
MISSING = {"status": 404, "body": {"error": {"code": "DeploymentNotFound", "message": "No."}}, "times": 0}


@dataclass(frozen=True)
class Scenario:
    """A call, what its deployments meet, and what it brings."""

    #: What the first deployment of two, or the only one of `solo`, meets.
    faults: tuple[dict[str, Any], ...] = ()
    expected: str = "answer"
    #: Calls that each deployment gets.
    calls: tuple[int, ...] = (1, 0)
    solo: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


SCENARIOS = {
    "an answer": Scenario(),
    "a stream": Scenario(arguments={"stream": True}),
    "a stream with its usage": Scenario(
        arguments={"stream": True, "stream_options": {"include_usage": True}}, expected="answer and usage"
    ),
    "a failure beside a sound deployment": Scenario((FAILING,), calls=(1, 1)),
    "a limit beside a sound deployment": Scenario((LIMITED,), calls=(1, 1)),
    "a deployment that is not there": Scenario((MISSING,), calls=(1, 1)),
    "a failure before a stream": Scenario((FAILING,), calls=(1, 1), arguments={"stream": True}),
    "a blocked prompt": Scenario((FILTERED,), "400 content_filter"),
    "a prompt that is too long": Scenario((TOO_LONG,), "400 context_length_exceeded"),
    "a limit everywhere": Scenario((LIMITED,), "429 rate_limit", calls=(1,), solo=True),
    "a stream that breaks off": Scenario((CUT,), "broken", arguments={"stream": True}),
    "an error in a stream": Scenario(({"error_event_after": 4},), "broken", arguments={"stream": True}),
    "fields that nobody knows": Scenario(expected="400 None", arguments={"extra_body": {"no_such_field": 1}}),
    "tools": Scenario(
        expected="answer",
        arguments={"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    ),
}


def brought(create, errors):
    """What a call brings, in words that are the same for both ways."""
    try:
        answer = create()
        if isinstance(getattr(answer, "choices", None), list):
            return "answer" if answer.choices[0].message.content else "nothing"
        chunks = list(answer)
    except errors.APIStatusError as error:
        code = (
            "rate_limit" if error.status_code == 429 and error.response.headers["retry-after"] else error.code
        )
        return f"{error.status_code} {code}"
    except errors.APIError:
        return "broken"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usage = any(chunk.usage for chunk in chunks if not chunk.choices)
    return f"{'answer' if text else 'nothing'}{' and usage' if usage else ''}"


@pytest.fixture(scope="module")
def router(simulator):
    with warnings.catch_warnings():
        # What `check` tells of these entries, too.
        warnings.simplefilter("ignore", UserWarning)
        return python_api.Router(gateway_config(simulator.url)["model_list"])


@pytest.mark.only_on("embedded", reason="which host it is does not matter here")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_brings_the_same_over_http_and_in_python(gateway, router, pool, name):
    scenario = SCENARIOS[name]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        ways = {
            "http": (client.chat.completions.create, openai),
            "python": (router.completion, python_api.exceptions),
        }

        for way, (create, errors) in ways.items():
            model = (pool.solo if scenario.solo else pool.pair)(*scenario.faults)
            call = {"model": model.name, "messages": MESSAGES, **scenario.arguments}
            found = brought(partial(create, **call), errors)

            assert (scenario.expected, list(scenario.calls)) == (found, pool.counts(model)), way


#: Model -> arguments of a call, what is compared of its answer, and where both ways have it.
OTHERS = {
    "embed": (
        {"input": ["one", "two"]},
        # The official client asks for them as float32.
        lambda answer: [array("f", each.embedding) for each in answer.data],
        lambda client: client.embeddings.create,
        lambda router: router.embedding,
    ),
    "instruct": (
        {"prompt": "Say hello"},
        lambda answer: (answer.choices[0].text, answer.usage.total_tokens),
        lambda client: client.completions.create,
        lambda router: router.text_completion,
    ),
    "azure/tts-1": (
        {"input": "hello", "voice": "alloy"},
        lambda answer: answer.content,
        lambda client: client.audio.speech.create,
        lambda router: router.speech,
    ),
}


@pytest.mark.only_on("embedded", reason="which host it is does not matter here")
@pytest.mark.parametrize("name", OTHERS)
def test_other_operations_bring_the_same_over_http_and_in_python(gateway, router, name):
    arguments, compared, over_http, in_python = OTHERS[name]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        ways = ((over_http(client), openai), (in_python(router), python_api.exceptions))

        first, second = (compared(create(model=name, **arguments)) for create, _ in ways)
        assert first
        assert first == second
        for create, errors in ways:
            with pytest.raises(errors.NotFoundError) as refused:
                create(model="nobody", **arguments)
            assert "model_not_found" == refused.value.code
