"""What arguments, the module and the environment mean together, without a call."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from decimal import Decimal
from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel, Field

from gateway.errors import BadRequest
from gateway.exceptions import ConfigurationError
from gateway.protocol.json_walk import MAX_DEPTH
from gateway.sdk.arguments import Defaults, completed, read_arguments
from gateway.sdk.bodies import body_of, strict_schema

ADDRESS = "https://x.openai.azure.com"
APPLICATION = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}


def params(model="azure/x", environ=None, defaults=None, **given):
    found = completed({"model": model, **given}, defaults or Defaults(), environ or {})
    return {name: value for name, value in found.items() if name != "model"}


def test_arguments_are_told_apart_and_unknown_ones_are_fields():
    found = read_arguments(
        {
            "api_key": "k",
            "api_base": "",
            "timeout": 5,
            "max_retries": 1,
            "top_k": 3,
            "stop": None,
            "caching": True,
        }
    )

    assert ({"api_key": "k"}, {"top_k": 3}) == (found.addressing, found.fields)
    assert (5.0, 1) == (found.options.timeout, found.options.num_retries)


def test_what_litellm_keeps_to_itself_stays_out_of_the_body():
    found = read_arguments(
        {
            "metadata": {"trace_name": "x", "tags": ["a"]},
            "cache": {"no-cache": True},
            "litellm_call_id": "1",
            "fallbacks": [],
            "mock_response": None,
            "rpm": 10,
            "stream_timeout": 5,
        }
    )

    assert {} == found.fields == found.addressing


def test_metadata_goes_with_what_is_stored():
    given = {"metadata": {"user": "x"}, "store": True}

    assert given == read_arguments(given).fields


def test_a_stream_has_a_timeout_of_its_own():
    given = {"timeout": 60, "stream_timeout": 5}

    assert (5.0, 60.0) == (
        read_arguments({**given, "stream": True}).options.timeout,
        read_arguments(given).options.timeout,
    )


def test_num_retries_goes_before_max_retries():
    assert 3 == read_arguments({"num_retries": 3, "max_retries": 1}).options.num_retries


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"num_retries": 1.5}, "num_retries"),
        ({"num_retries": float("inf")}, "num_retries"),
        ({"mock_response": "Hi"}, "mock_response: is not provided"),
        ({"mock_testing_fallbacks": True}, "mock_testing_fallbacks: is not provided"),
        ({"fallbacks": ["gpt"]}, "fallbacks: .* Router"),
        ({"context_window_fallbacks": [{"a": ["b"]}]}, "context_window_fallbacks: .* Router"),
        ({"client": object()}, "client: is not provided"),
        ({"azure_password": "p"}, "azure_password: .* use api_key"),
        ({"stream": True, "stream_timeout": 0}, "timeout"),
        ({"max_retries": -1}, "num_retries"),
        ({"extra_headers": ["x"]}, "extra_headers"),
        ({"extra_headers": {"x": "a\nb"}}, "extra_headers.x"),
        ({"extra_headers": {"Host": "x"}}, "extra_headers.Host"),
        ({"extra_body": [1]}, "extra_body"),
    ],
)
def test_options_that_cannot_be_used_are_named(given, said):
    with pytest.raises(ConfigurationError, match=said):
        read_arguments(given)


def test_a_word_that_would_be_no_key_is_a_header_all_the_same():
    given = {"extra_headers": {"X-Flag": "true", "X-Not-Given": None}}

    assert {"x-flag": "true"} == read_arguments(given).options.headers


def test_argument_then_module_then_environment():
    environ = {"AZURE_API_BASE": "https://env", "AZURE_OPENAI_ENDPOINT": "https://late"}
    module = Defaults(api_base="https://module", api_key="module", api_version="2024-06-01")

    assert {"api_base": "https://env"} == params(environ=environ)
    assert "https://module" == params(environ=environ, defaults=module)["api_base"]
    assert {"api_base": "https://arg", "api_key": "arg", "api_version": "v1"} == params(
        environ=environ, defaults=module, api_base="https://arg", api_key="arg", api_version="v1"
    )


def test_a_credential_that_is_an_argument_keeps_the_modules_key_out():
    module = Defaults(api_key="module")

    assert {"azure_ad_token": "t"} == params(defaults=module, azure_ad_token="t")
    assert {"tenant_id": "t", "client_id": "c", "client_secret": "s"} == params(
        defaults=module, tenant_id="t", client_id="c", client_secret="s"
    )


def test_an_application_of_the_environment_comes_after_its_keys_and_only_whole():
    whole = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}

    assert whole == params(environ=APPLICATION)
    assert whole == params(environ=APPLICATION | {"AZURE_API_KEY": " "})
    assert {} == params(environ=APPLICATION | {"AZURE_API_KEY": "k"})
    assert {} == params(environ={"AZURE_CLIENT_ID": "c"})
    assert {} == params("openai/gpt-4o", environ=APPLICATION)


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o"])
def test_openais_address_is_openais_variable(model):
    environ = {"AZURE_API_BASE": ADDRESS, "OPENAI_API_BASE": "https://o/v1"}

    assert {"api_base": "https://o/v1"} == params(model, environ=environ)


def test_extra_body_wins_and_none_is_left_out_but_within_it():
    body = body_of({"a": 1, "b": None, "extra_body": {"a": 2, "c": None}})

    assert {"a": 2, "c": None} == dict(body.values)


class Model:
    def model_dump(self, **_):
        return {"role": "user"}


def test_objects_that_can_be_written_are():
    assert [{"role": "user"}] == body_of({"messages": (Model(),)}).values["messages"]
    assert ["a", "b"] == body_of({"stop": {"b", "a"}}).values["stop"]


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize(
    "value",
    [object(), float("inf"), float("nan"), "\ud800", int, b"text", Decimal("0.5"), dt.date(2026, 1, 1)],
    ids=["object", "infinity", "nan", "surrogate", "class", "bytes", "decimal", "date"],
)
def test_what_is_no_json_is_refused(value, within):
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        body_of({"messages": [{"content": value}]} if within else {"user": value})


class Shouted(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "json_text"),
    [
        ([1, 1.0, True, None, "é"], '[1,1.0,true,null,"é"]'),
        (("a", "b"), '["a","b"]'),
        ({1: 2}, '{"1":2}'),
        (2**70, "1180591620717411303424"),
        (Shouted("a"), '"a"'),
        ({Shouted("a"): Shouted("b")}, '{"a":"b"}'),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        ("x" * 70_000, f'"{"x" * 70_000}"'),
    ],
    ids=[
        "plain",
        "tuple",
        "number as key",
        "large number",
        "text's like",
        "texts within",
        "mapping",
        "large",
    ],
)
def test_a_body_is_the_json_of_what_was_given(value, json_text):
    assert f'{{"user":{json_text}}}' == body_of({"user": value}).raw.decode()


def test_what_is_nested_too_deep_is_refused_as_over_http():
    value = "text"
    for _ in range(MAX_DEPTH):
        value = [value]

    with pytest.raises(BadRequest, match="nested deeper"):
        body_of({"user": value})


def test_what_a_caller_changes_later_is_not_changed_in_the_body():
    messages = [{"role": "user", "content": "one"}]
    body = body_of({"messages": messages})
    messages[0]["content"] = "two"

    assert [{"role": "user", "content": "one"}] == body.values["messages"]


def test_a_strict_schema_requires_all_and_allows_nothing_else():
    schema = {
        "type": "object",
        "properties": {
            "a": {
                "anyOf": [{"type": "object", "properties": {"b": {"type": "string"}}}, {"type": "null"}],
                "default": None,
            },
            "c": {"$ref": "#/$defs/C", "description": "x"},
            "default": {"type": "array", "items": {"type": "object", "properties": {}}},
        },
    }
    made = strict_schema(schema)

    assert (["a", "c", "default"], False) == (made["required"], made["additionalProperties"])
    assert {
        "type": "object",
        "properties": {"b": {"type": "string"}},
        "additionalProperties": False,
        "required": ["b"],
    } == (made["properties"]["a"]["anyOf"][0])
    assert ("default" in made["properties"]["a"], {"$ref": "#/$defs/C"}) == (False, made["properties"]["c"])
    assert False is made["properties"]["default"]["items"]["additionalProperties"]


class Step(BaseModel):
    """One step."""

    text: str
    number: int = 0


class Tree(BaseModel):
    children: list[Tree] = []


Found = TypeVar("Found")


class Page(BaseModel, Generic[Found]):
    found: list[Found]


def schema_of(form):
    return body_of({"response_format": form}).values["response_format"]["json_schema"]


def test_a_description_beside_a_reference_stays_with_what_is_referred_to():
    class Plan(BaseModel):
        first: Step = Field(description="What to do first.")
        rest: list[Step]

    made = schema_of(Plan)["schema"]

    step = made["$defs"]["Step"]
    assert {**step, "description": "What to do first."} == made["properties"]["first"]
    assert ({"$ref": "#/$defs/Step"}, ["text", "number"]) == (
        made["properties"]["rest"]["items"],
        step["required"],
    )


def test_a_class_that_refers_to_itself_is_whole():
    made = schema_of(Tree)["schema"]

    assert ("object", ["children"], False) == (made["type"], made["required"], made["additionalProperties"])
    assert {"$ref": "#/$defs/Tree"} == made["properties"]["children"]["items"]
    assert made["properties"] == made["$defs"]["Tree"]["properties"]


def test_a_mapping_with_any_keys_stays_for_upstream_to_judge():
    class Counts(BaseModel):
        counts: dict[str, int]

    assert {"type": "integer"} == schema_of(Counts)["schema"]["properties"]["counts"]["additionalProperties"]


def test_the_schema_of_a_class_is_made_once():
    made = []

    class Counted:
        @classmethod
        def model_json_schema(cls):
            made.append(cls)
            return {"type": "object", "properties": {}}

    assert schema_of(Counted) == schema_of(Counted)
    assert [Counted] == made


def test_the_name_of_a_schema_is_one():
    assert "Page_int_" == schema_of(Page[int])["name"]
