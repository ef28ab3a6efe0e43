"""A Router: the gateway's choice, limits and fallbacks, from Python."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.python_api import KEY, MESSAGES, PLATFORM_KEY, body, header, token

import gateway as litellm

pytestmark = pytest.mark.system


def counts(*chats):
    return [len(each.log) for each in chats]


def test_all_eight_methods_answer(simulator, chat):
    def entry(name, model):
        return {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": simulator.url, "api_key": KEY},
        }

    router = litellm.Router(
        [
            chat.entry("gpt"),
            entry("vectors", "azure/embeddings"),
            entry("voice", "azure/tts"),
            entry("old", "azure_text/instruct"),
        ]
    )

    async def work():
        return (
            await router.acompletion("gpt", MESSAGES),
            await router.atext_completion("old", "Once"),
            await router.aembedding("vectors", "a"),
            await router.aspeech("voice", "Hello", "alloy"),
        )

    answers = (
        router.completion("gpt", MESSAGES),
        router.text_completion(model="old", prompt="Once"),
        router.embedding("vectors", ["a"]),
        router.speech("voice", "Hello", "alloy"),
    )

    for message, text, vectors, sound in (answers, asyncio.run(work())):
        assert message.choices[0].message.content
        assert text.choices[0].text
        assert vectors.data[0].embedding
        assert sound.content
    chunks = list(router.completion("gpt", MESSAGES, stream=True))
    assert "stop" == chunks[-1].choices[0].finish_reason


def test_a_deployment_that_fails_costs_no_caller_an_error_and_is_left_alone(chats):
    broken, sound = chats().fault({"preset": "server_error", "times": 0}), chats()
    router = litellm.Router([broken.entry(), sound.entry()], num_retries=0)

    for _ in range(12):
        assert router.completion("gpt", MESSAGES).choices[0].message.content

    assert (True, 12) == (counts(broken)[0] < 6, counts(sound)[0])


def test_fallbacks_and_aliases_are_other_names(chats):
    broken, other = chats().fault({"preset": "server_error", "times": 0}), chats()
    router = litellm.Router(
        model_list=[broken.entry("first"), other.entry("second")],
        fallbacks=[{"first": ["second"]}],
        model_group_alias={"alias": "second"},
        num_retries=0,
    )

    router.completion("first", MESSAGES)
    router.completion("alias", MESSAGES)

    assert [1, 2] == counts(broken, other)


@pytest.mark.parametrize("place", ["beside", "params", "info"])
def test_a_limit_is_an_exact_cap_and_over_it_nothing_is_called(chat, place):
    entry = chat.entry()
    entry |= {"model_info": {}}
    {"beside": entry, "params": entry["litellm_params"], "info": entry["model_info"]}[place]["rpm"] = 5
    router = litellm.Router([entry], routing_strategy="usage-based-routing-v2")

    def call(_):
        try:
            return router.completion("gpt", MESSAGES).object
        except litellm.RateLimitError as error:
            return error.response.headers["retry-after"].isdecimal()

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(call, range(20)))

    assert (5, 15, [5]) == (results.count("chat.completion"), results.count(True), counts(chat))


def test_threads_and_loops_share_one_count(chat):
    router = litellm.Router([chat.entry(rpm=6)], routing_strategy="usage-based-routing")

    async def calls():
        return await asyncio.gather(
            *(router.acompletion("gpt", MESSAGES) for _ in range(4)), return_exceptions=True
        )

    for _ in range(4):
        router.completion("gpt", MESSAGES)
    results = [*asyncio.run(calls()), *asyncio.run(calls())]

    assert (6, 6) == (counts(chat)[0], sum(isinstance(each, litellm.RateLimitError) for each in results))


def test_references_to_the_environment_and_values_that_are_not_there_are_read(chat, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    monkeypatch.setenv("AZURE_API_BASE", chat.url)
    params = {"model": chat.model, "api_key": "os.environ/THE_KEY", "api_base": None, "api_version": None}
    router = litellm.Router([{"model_name": "gpt", "litellm_params": params | {"temperature": 0.25}}])

    router.completion("gpt", MESSAGES)

    (entry,) = chat.log
    assert (KEY, 0.25) == (header(entry, "api-key"), body(entry)["temperature"])


def test_a_provider_of_tokens_may_stand_in_an_entry(chat):
    entry = chat.entry()
    del entry["litellm_params"]["api_key"]
    entry["litellm_params"]["azure_ad_token_provider"] = token
    router = litellm.Router([entry], num_retries=0)

    router.completion("gpt", MESSAGES)

    assert {f"Bearer {token()}"} == {header(each, "authorization") for each in chat.log}


def test_redis_is_told_to_be_replaced_without_its_password(chat):
    with pytest.warns(UserWarning, match="redis_host") as warned:
        litellm.Router([chat.entry()], redis_host="h", redis_password="very-secret", redis_port="6379")

    assert "very-secret" not in "".join(str(each.message) for each in warned)


def test_a_router_without_anything_odd_warns_of_nothing(chat, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", KEY)
    entry = chat.entry()
    del entry["litellm_params"]["api_key"]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        litellm.Router([entry], num_retries=1, timeout=30, redis_host=None)


@pytest.mark.parametrize(
    ("settings", "entry", "said"),
    [
        ({"num_retrys": 2}, {}, "router_settings.num_retrys: unknown key, did you mean num_retries?"),
        ({}, {"litellm_params": {"model": "azure/x", "api_bse": "x"}}, "litellm_params.api_bse: unknown key"),
        ({}, {"litellm_params": {"model": "azure/x"}}, "litellm_params.api_base: is missing"),
        (
            {},
            {"litellm_params": {"model": "azure/x", "azure_ad_token_provider": "os.environ/TOKEN"}},
            "model_list[0].litellm_params.azure_ad_token_provider: must be a function",
        ),
        ({"routing_strategy": "fastest"}, {}, "router_settings.routing_strategy: is not a known strategy"),
        ({"provider_budget_config": {"azure": {}}}, {}, "router_settings.provider_budget_config: is refused"),
    ],
)
def test_what_is_misspelt_or_missing_is_refused_with_its_path(chat, settings, entry, said):
    with pytest.raises(litellm.BadRequestError) as raised:
        litellm.Router([chat.entry() | entry], **settings)

    assert said in str(raised.value)


def test_what_the_entries_say_is_no_argument_of_a_call(chat):
    router = litellm.Router([chat.entry()])

    with pytest.raises(litellm.BadRequestError, match="api_key"):
        router.completion("gpt", MESSAGES, api_key="x")


def test_a_model_that_is_not_there_is_not_found(chat):
    with pytest.raises(litellm.NotFoundError):
        litellm.Router([chat.entry()]).completion("other", MESSAGES)


def test_openais_models_stand_beside_azures(simulator, chat):
    params = {"model": "gpt-4o-mini", "api_key": PLATFORM_KEY, "api_base": f"{simulator.url}/v1"}
    router = litellm.Router([chat.entry(), {"model_name": "gpt", "litellm_params": params}])
    seen = len(simulator.log)

    for _ in range(12):
        router.completion("gpt", MESSAGES)

    assert {chat.deployment, "gpt-4o-mini"} == {entry["deployment"] for entry in simulator.log[seen:]}
