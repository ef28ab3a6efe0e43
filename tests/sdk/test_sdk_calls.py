"""Calls that say themselves whom they are for: what goes upstream, what comes back, which credential is used."""

from __future__ import annotations

import asyncio
import copy
import json

import httpx
import pydantic
import pytest
from support.python_api import KEY, MESSAGES, PLATFORM_KEY, body, header, token

import gateway as litellm

pytestmark = pytest.mark.system


def test_a_call_by_arguments_reaches_its_deployment_and_answers(chat):
    response = litellm.completion(
        api_version="2024-06-01", messages=MESSAGES, temperature=0.5, **chat.arguments
    )

    (entry,) = chat.log
    assert f"/openai/deployments/{chat.deployment}/chat/completions" == entry["path"]
    assert "api-version=2024-06-01" == entry["query"]
    assert KEY == header(entry, "api-key")
    assert {"model": chat.deployment, "messages": MESSAGES, "temperature": 0.5} == body(entry)
    assert response["choices"][0]["message"]["content"] == response.choices[0].message.content
    assert response.choices[0].message.content in str(response)
    assert response.choices[0].message.tool_calls is None
    assert response.usage.total_tokens > 0


def test_model_and_messages_may_be_positional_and_the_rest_come_from_the_environment(chat, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", KEY)
    monkeypatch.setenv("AZURE_API_BASE", chat.url)
    monkeypatch.setenv("AZURE_API_VERSION", "2024-10-01-preview")

    litellm.completion(chat.model, MESSAGES)

    assert ["api-version=2024-10-01-preview"] == [entry["query"] for entry in chat.log]


def test_an_argument_goes_before_the_module_and_that_before_the_environment(chat, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", "not-the-key")
    monkeypatch.setenv("AZURE_API_BASE", "https://nowhere.invalid")
    monkeypatch.setenv("AZURE_API_VERSION", "2024-02-01")
    monkeypatch.setattr(litellm, "api_base", chat.url)
    monkeypatch.setattr(litellm, "api_key", KEY)
    monkeypatch.setattr(litellm, "api_version", "2024-06-01")

    litellm.completion(chat.model, MESSAGES)
    litellm.completion(chat.model, MESSAGES, api_version="2024-10-21")
    monkeypatch.setattr(litellm, "api_version", "")
    litellm.completion(chat.model, MESSAGES, api_version="")

    queries = [entry["query"] for entry in chat.log]
    assert ["api-version=2024-06-01", "api-version=2024-10-21", "api-version=2024-02-01"] == queries
    assert {KEY} == {header(entry, "api-key") for entry in chat.log}


@pytest.mark.parametrize("name", ["AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"])
def test_the_address_may_stand_in_either_variable_and_an_empty_one_is_not_set(chat, monkeypatch, name):
    monkeypatch.setenv("AZURE_API_BASE", "")
    monkeypatch.setenv(name, chat.url)

    litellm.completion(chat.model, MESSAGES, api_key=KEY)

    assert 1 == len(chat.log)


def test_a_token_of_the_environment_alone_authenticates(chat, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", "")
    monkeypatch.setenv("AZURE_AD_TOKEN", token())

    litellm.completion(chat.model, MESSAGES, api_base=chat.url)

    (entry,) = chat.log
    assert (f"Bearer {token()}", None) == (header(entry, "authorization"), header(entry, "api-key"))


def test_a_token_that_is_an_argument_goes_before_a_key_and_alone(chat, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", KEY)

    litellm.completion(chat.model, MESSAGES, api_base=chat.url, azure_ad_token=token())

    (entry,) = chat.log
    assert (f"Bearer {token()}", None) == (header(entry, "authorization"), header(entry, "api-key"))


def provided(tokens):
    def provider():
        tokens.append(token(len(tokens)))
        return tokens[-1]

    async def aprovider():
        await asyncio.sleep(0)
        return provider()

    return provider, aprovider


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_provider_of_tokens_is_asked_for_each_call(chat, asynchronous):
    tokens = []
    provider = provided(tokens)[asynchronous]
    arguments = {"api_base": chat.url, "azure_ad_token_provider": provider}

    async def acalls():
        for _ in range(2):
            await litellm.acompletion(chat.model, MESSAGES, **arguments)

    litellm.completion(chat.model, MESSAGES, **arguments)
    asyncio.run(acalls())

    sent = [(header(entry, "authorization"), header(entry, "api-key")) for entry in chat.log]
    assert [(f"Bearer {token(number)}", None) for number in range(3)] == sent


def test_an_asynchronous_provider_runs_on_its_callers_loop(chat):
    async def work():
        loop = asyncio.get_running_loop()
        seen = []

        async def provider():
            seen.append(asyncio.get_running_loop() is loop)
            return token()

        await litellm.acompletion(chat.model, MESSAGES, api_base=chat.url, azure_ad_token_provider=provider)
        return seen

    assert [True] == asyncio.run(work())


def test_what_a_provider_raises_is_the_cause_of_an_authentication_error(chat):
    def provider():
        raise LookupError("signed out")

    with pytest.raises(litellm.AuthenticationError, match="signed out") as raised:
        litellm.completion(chat.model, MESSAGES, api_base=chat.url, azure_ad_token_provider=provider)

    assert (True, []) == (isinstance(raised.value.__cause__, LookupError), chat.log)


def test_headers_and_fields_of_one_call_reach_upstream(chat):
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}]}
    chat.fault({"status": 200, "headers": {"content-type": "application/json"}, "body": answer})

    litellm.completion(
        messages=MESSAGES,
        extra_headers={"X-Trace": "t 1"},
        extra_body={"seed": 3, "user": "wins"},
        user="loses",
        dataSources=[{"type": "AzureComputerVision"}],
        enhancements={"ocr": {"enabled": True}},
        **chat.arguments,
    )

    (entry,) = chat.log
    sent = body(entry)
    assert ("t 1", 3, "wins") == (header(entry, "x-trace"), sent["seed"], sent["user"])
    assert ([{"type": "AzureComputerVision"}], {"ocr": {"enabled": True}}) == (
        sent["dataSources"],
        sent["enhancements"],
    )
    assert not {"extra_body", "extra_headers", "api_key"} & sent.keys()


def test_a_header_that_is_the_gateways_own_is_refused_before_any_call(chat):
    with pytest.raises(litellm.BadRequestError, match="extra_headers"):
        litellm.completion(messages=MESSAGES, extra_headers={"Authorization": "x"}, **chat.arguments)

    assert [] == chat.log


def test_a_message_of_an_answer_goes_back_as_it_is_and_lists_stay_the_callers(chat):
    messages = copy.deepcopy(MESSAGES)
    first = litellm.completion(messages=messages, **chat.arguments)
    longer = [*messages, first.choices[0].message, {"role": "user", "content": "And?"}]
    before = copy.deepcopy(longer)

    litellm.completion(messages=longer, **chat.arguments)

    assert (MESSAGES, before) == (messages, longer)
    assert first.choices[0].message.content == body(chat.log[-1])["messages"][1]["content"]


class Place(pydantic.BaseModel):
    city: str
    country: str = "unknown"


class Trip(pydantic.BaseModel):
    stops: list[Place]


def test_a_class_of_pydantics_asks_for_its_schema(chat):
    answer = litellm.completion(messages=MESSAGES, response_format=Trip, **chat.arguments)

    form = body(chat.log[0])["response_format"]
    place = form["json_schema"]["schema"]["$defs"]["Place"]
    assert ("json_schema", "Trip", True) == (
        form["type"],
        form["json_schema"]["name"],
        form["json_schema"]["strict"],
    )
    assert (["city", "country"], False) == (place["required"], place["additionalProperties"])
    assert Trip.model_validate_json(answer.choices[0].message.content)


def test_a_base_that_names_the_deployment_is_used_as_it_is(chat):
    base = f"{chat.url}/openai/deployments/{chat.deployment}"

    litellm.completion("azure/another", MESSAGES, base_url=base, api_key=KEY)

    assert [f"/openai/deployments/{chat.deployment}/chat/completions"] == [
        entry["path"] for entry in chat.log
    ]


def test_openais_own_models_go_to_openais_address(simulator, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", PLATFORM_KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{simulator.url}/v1")
    seen = len(simulator.log)

    litellm.completion("gpt-4o-mini", MESSAGES)
    litellm.completion("openai/gpt-4o-mini", MESSAGES)

    entries = simulator.log[seen:]
    assert [("/v1/chat/completions", f"Bearer {PLATFORM_KEY}")] * 2 == [
        (entry["path"], header(entry, "authorization")) for entry in entries
    ]


def test_embeddings_speech_and_completions_answer(simulator, tmp_path):
    where = {"api_base": simulator.url, "api_key": KEY}

    vectors = litellm.embedding(model="azure/embeddings", input=["a", "b"], **where)
    sound = litellm.speech("azure/tts", "Hello", "alloy", **where)
    text = litellm.text_completion(prompt="Once", model="azure_text/instruct", max_tokens=5, **where)
    sound.stream_to_file(tmp_path / "speech.mp3")
    sound.write_to_file(tmp_path / "again.mp3")

    assert {float} == {type(value) for value in vectors.data[0]["embedding"]}
    assert 2 == len(vectors["data"])
    assert sound.content == b"".join(sound.iter_bytes(7)) == (tmp_path / "speech.mp3").read_bytes()
    assert sound.content == (tmp_path / "again.mp3").read_bytes()
    assert text.choices[0].text


def test_asynchronous_calls_answer_alike(simulator, chat):
    where = {"api_base": simulator.url, "api_key": KEY}

    async def work():
        return await asyncio.gather(
            litellm.acompletion(messages=MESSAGES, **chat.arguments),
            litellm.aembedding("azure/embeddings", "a", **where),
            litellm.aspeech("azure/tts", "Hello", "alloy", **where),
            litellm.atext_completion("Once", "azure_text/instruct", **where),
        )

    message, vectors, sound, text = asyncio.run(work())

    assert message.choices[0].message.content
    assert (1, True, True) == (len(vectors.data), bool(sound.content), bool(text.choices[0].text))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "azure/x", "api_key": "k"}, "api_base: is missing"),
        ({"model": "azure/x", "api_base": "ftp://x"}, "api_base: must begin with https://"),
        ({"model": "anthropic/claude"}, "model: names a provider that is not served"),
        ({"model": ""}, "model: must be"),
        # A credential of azure.identity's in place of a function: another identity would be used.
        (
            {"model": "azure/x", "api_base": "https://x.invalid", "azure_ad_token_provider": object()},
            "^azure_ad_token_provider: must be a function",
        ),
        ({"model": "azure/x", "api_base": "https://x.invalid", "timeout": -1}, "timeout: must be"),
        (
            {"model": "azure/x", "api_base": "https://x.invalid", "tools": [object()]},
            "cannot be written as JSON",
        ),
        (
            {"model": "azure/x", "api_base": "https://x.invalid", "n": float("nan")},
            "cannot be written as JSON",
        ),
    ],
)
def test_arguments_that_cannot_be_used_say_what_to_fix_and_make_no_call(arguments, said):
    with pytest.raises(litellm.BadRequestError, match=said) as raised:
        litellm.completion(messages=MESSAGES, **arguments)

    assert isinstance(raised.value, ValueError)


def test_a_key_never_stands_in_an_error():
    with pytest.raises(litellm.BadRequestError) as raised:
        litellm.completion("azure/x", MESSAGES, api_base="nonsense", api_key="sk-very-secret-key")

    assert "sk-very-secret-key" not in repr(raised.value)


@pytest.mark.parametrize("timeout", [0.2, httpx.Timeout(0.2)])
def test_a_timeout_holds_for_its_call(simulator, timeout):
    with pytest.raises(litellm.Timeout) as raised:
        litellm.completion(
            "azure/late", MESSAGES, api_base=simulator.url, api_key=KEY, timeout=timeout, num_retries=0
        )

    assert (408, True) == (raised.value.status_code, isinstance(raised.value, litellm.APITimeoutError))


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (1, 2)])
def test_retries_are_the_callers_choice(chat, retries, calls):
    chat.fault({"preset": "server_error", "times": 0})

    with pytest.raises(litellm.InternalServerError):
        litellm.completion(messages=MESSAGES, num_retries=retries, **chat.arguments)

    assert calls == len(chat.log)


SYSTEM = [{"role": "system", "content": "Be brief."}, *MESSAGES]


def test_a_base_model_adapts_a_call_and_may_drop_what_it_does_not_take(chat, monkeypatch):
    call = {"messages": SYSTEM, "base_model": "o1-mini", **chat.arguments}

    litellm.completion(max_tokens=5, **call)
    with pytest.raises(litellm.UnsupportedParamsError) as raised:
        litellm.completion(temperature=0.2, **call)
    litellm.completion(temperature=0.2, drop_params=True, **call)
    monkeypatch.setattr(litellm, "drop_params", True)
    litellm.completion(temperature=0.2, **call)
    chunks = list(litellm.completion(stream=True, **call))

    assert ("temperature", 400) == (raised.value.param, raised.value.status_code)
    assert [5, None, None, None] == [body(entry).get("max_completion_tokens") for entry in chat.log]
    assert not any({"temperature", "max_tokens", "stream"} & body(entry).keys() for entry in chat.log)
    assert {"user"} == {message["role"] for entry in chat.log for message in body(entry)["messages"]}
    assert (True, "stop") == (len(chunks) > 1, chunks[-1].choices[0].finish_reason)


def test_a_failed_call_is_not_held_against_the_next(chat):
    chat.fault({"preset": "call_limit", "times": 3})

    for _ in range(3):
        with pytest.raises(litellm.RateLimitError):
            litellm.completion(messages=MESSAGES, **chat.arguments)
    litellm.completion(messages=MESSAGES, **chat.arguments)

    assert 4 == len(chat.log)


REFUSALS = [
    (400, {"code": "content_filter", "message": "Filtered."}, "ContentPolicyViolationError"),
    (400, {"code": "context_length_exceeded", "message": "Too long."}, "ContextWindowExceededError"),
    (400, {"code": "x", "message": "Wrong.", "param": "messages"}, "BadRequestError"),
    (401, {"code": "401", "message": "Access denied."}, "AuthenticationError"),
    (403, {"code": "x", "message": "No."}, "PermissionDeniedError"),
    (404, {"code": "DeploymentNotFound", "message": "There is no chat-7 here."}, "NotFoundError"),
    (422, {"code": "x", "message": "No."}, "UnprocessableEntityError"),
    (429, {"code": "429", "message": "Please retry after 7 seconds."}, "RateLimitError"),
    (500, {"code": "x", "message": "Failed."}, "InternalServerError"),
    (503, {"code": "x", "message": "Busy."}, "InternalServerError"),
]


@pytest.mark.parametrize(("status", "details", "name"), REFUSALS)
def test_upstreams_own_status_and_words_reach_the_caller(chat, status, details, name):
    headers = {"retry-after": "7", "x-request-id": "abc"}
    chat.fault({"status": status, "headers": headers, "body": {"error": details}, "times": 0})

    with pytest.raises(litellm.OpenAIError) as raised:
        litellm.completion(messages=MESSAGES, num_retries=0, **chat.arguments)

    error = raised.value
    assert (name, status, details["code"], details) == (
        type(error).__name__,
        error.status_code,
        error.code,
        error.body,
    )
    assert (details["message"], details.get("param")) == (str(error), error.param)
    assert ("7", "abc") == (error.response.headers["Retry-After"], error.request_id)


def test_nobody_who_listens_is_a_connection_error():
    with pytest.raises(litellm.APIConnectionError, match=r"111|refused"):
        litellm.completion("azure/x", MESSAGES, api_base="http://127.0.0.1:9", api_key=KEY, num_retries=0)


def test_what_is_unknown_in_an_answer_stays(chat):
    answer = {
        "id": "1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x", "own": {"a": [1]}}}],
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    chat.fault({"status": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(answer)})

    response = litellm.completion(messages=MESSAGES, **chat.arguments)

    assert answer == response.model_dump() == json.loads(response.model_dump_json())
    assert ([1], 0) == (response.choices[0].message.own.a, response.prompt_filter_results[0].prompt_index)
