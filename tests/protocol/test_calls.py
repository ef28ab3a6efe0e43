"""What a body asks for, and what a deployment gets of it."""

import contextlib
import json

import pytest
from support.samples import call, deployment

from gateway.errors import BadRequest, UnsupportedMediaType
from gateway.protocol import calls
from gateway.protocol.json_body import parse
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, SPEECH
from gateway.upstream.outgoing import outgoing


def read(operation, raw, path_model=None):
    return calls.read(operation, parse(raw), path_model)


def sent(one, member, operation="chat"):
    return outgoing(one, member, member.targets[operation])


def test_the_model_is_read_from_the_body():
    assert "gpt" == read(CHAT, b'{"model":"gpt"}').requested_model


def test_the_paths_model_wins_over_the_bodys():
    assert "azure/tts-1" == read(CHAT, b'{"model":5}', "azure/tts-1").requested_model


@pytest.mark.parametrize(("size", "taken"), [(256, True), (257, False), (1 << 20, False)])
def test_a_models_name_has_at_most_256_characters(size, taken):
    name = "é" * size
    with contextlib.nullcontext() if taken else pytest.raises(BadRequest) as caught:
        assert name == read(CHAT, json.dumps({"model": name}).encode()).requested_model
    assert taken or ("string_above_max_length", "model") == (caught.value.code, caught.value.param)


@pytest.mark.parametrize("raw", [b"{}", b'{"model":null}', b'{"model":""}'])
def test_a_body_without_a_model_is_refused(raw):
    with pytest.raises(BadRequest) as caught:
        read(CHAT, raw)
    assert "you must provide a model parameter" == caught.value.message


@pytest.mark.parametrize("raw", [b"{}", b'{"model":null}', b'{"model":""}'])
def test_a_moderation_without_a_model_asks_for_openais_own_default(raw):
    assert "omni-moderation-latest" == read(MODERATIONS, raw).requested_model


def test_a_moderation_may_name_its_model_and_never_streams():
    one = read(MODERATIONS, b'{"model":"gpt","stream":true}')

    assert ("gpt", False) == (one.requested_model, one.stream)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5", "an integer"),
        ("5.0", "a number"),
        ("true", "a boolean"),
        ("[]", "an array"),
        ("{}", "an object"),
    ],
)
def test_a_model_that_is_no_text_is_refused_by_its_kind(value, kind):
    with pytest.raises(BadRequest) as caught:
        read(CHAT, f'{{"model":{value}}}'.encode())
    assert f"Invalid type for 'model': expected a string, but got {kind} instead." == caught.value.message
    assert ("model", "invalid_type") == (caught.value.param, caught.value.code)


@pytest.mark.parametrize(
    ("operation", "members", "stream"),
    [
        (CHAT, {"stream": True}, True),
        (COMPLETIONS, {"stream": True}, True),
        (CHAT, {"stream": False}, False),
        (CHAT, {"stream": "true"}, False),
        (CHAT, {"stream": 1}, False),
        (CHAT, {}, False),
        (EMBEDDINGS, {"stream": True}, False),
        (SPEECH, {"stream_format": "sse"}, True),
        (SPEECH, {"stream_format": "audio"}, False),
        (SPEECH, {"stream": True}, False),
        (CHAT, {"stream_format": "sse"}, False),
    ],
)
def test_a_stream_is_what_its_operation_calls_one(operation, members, stream):
    assert stream == call(operation, **members).stream


@pytest.mark.parametrize(
    ("options", "wants"),
    [({"include_usage": True}, True), ({"include_usage": 1}, False), ({}, False), (None, False), ([], False)],
)
def test_usage_is_wanted_only_where_it_is_asked_for(options, wants):
    assert wants == call(stream=True, stream_options=options).wants_usage


def test_a_deployment_in_the_path_gets_the_clients_bytes():
    one = read(CHAT, b'{ "model" : "gpt", "n": 1.0 }')
    assert b'{ "model" : "gpt", "n": 1.0 }' == sent(one, deployment()).body


def test_a_deployment_in_the_body_is_named_there():
    one = read(CHAT, b'{ "model" : "gpt", "n": 1.0 }')
    assert b'{ "model" : "dep-a", "n": 1.0 }' == sent(one, deployment(model_in_body=True)).body


def test_a_model_known_from_the_path_alone_is_added_where_upstream_needs_it():
    one = read(CHAT, b'{"n":1}', "gpt")
    assert {"model": "dep-a", "n": 1} == json.loads(sent(one, deployment(model_in_body=True)).body)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"include_usage": True}),
        (None, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_a_stream_is_asked_for_its_usage_and_the_client_does_not_see_it(options, expected):
    outgoing = sent(call(stream=True, stream_options=options), deployment())
    assert expected == json.loads(outgoing.body)["stream_options"]
    assert outgoing.hide_usage


def test_a_stream_without_options_gets_them():
    outgoing = sent(call(stream=True), deployment())
    assert {"include_usage": True} == json.loads(outgoing.body)["stream_options"]


@pytest.mark.parametrize(
    ("one", "member"),
    [
        (call(stream=True, stream_options={"include_usage": True}), deployment()),
        (call(stream=True), deployment(stream_usage=False)),
        (call(stream=False), deployment()),
        (call(stream=True, stream_options="x"), deployment()),
        (call(stream=True, data_sources=[{}]), deployment()),
        (call(stream=True, dataSources=[{}]), deployment()),
    ],
    ids=["client asked", "api-version cannot", "no stream", "options are no object", "grounded", "of old"],
)
def test_usage_is_not_injected_where_it_is_there_or_cannot_be(one, member):
    outgoing = sent(one, member)
    assert (one.body.raw, False) == (outgoing.body, outgoing.hide_usage)


def test_a_speech_stream_is_not_asked_for_usage():
    one = call(SPEECH, stream_format="sse", input="x")
    assert one.body.raw == sent(one, deployment(operations=("speech",)), "speech").body


def test_request_defaults_fill_what_the_client_left_out():
    member = deployment(defaults={"temperature": 0.1, "top_p": 0.2})
    assert {"model": "gpt", "temperature": 1, "top_p": 0.2} == json.loads(
        sent(call(temperature=1), member).body
    )


def test_a_default_that_the_operation_does_not_know_is_left_out():
    member = deployment(operations=("embeddings",), defaults={"temperature": 0.1, "dimensions": 8})
    one = call(EMBEDDINGS, input="x")
    assert {"model": "gpt", "input": "x", "dimensions": 8} == json.loads(sent(one, member, "embeddings").body)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "application/json"},
        {"content-type": "Application/JSON; charset=utf-8"},
        {"content-type": "text/plain"},
        {"content-type": "application/merge-patch+json"},
        {"content-encoding": "identity"},
    ],
)
def test_json_is_taken_under_every_name_clients_give_it(headers):
    calls.check_media_type(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_forms_and_compressed_bodies_are_not(headers):
    with pytest.raises(UnsupportedMediaType):
        calls.check_media_type(headers)


@pytest.mark.parametrize(
    ("defaults", "members", "expected"),
    [
        ({"max_tokens": 5}, {"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_completion_tokens": 5}, {"max_tokens": 7}, {"max_tokens": 7}),
        (
            {"max_tokens": 5},
            {"max_completion_tokens": None},
            {"max_completion_tokens": None, "max_tokens": 5},
        ),
        ({"max_tokens": 5}, {"max_tokens": None}, {"max_tokens": None}),
        ({"functions": [1], "function_call": "auto"}, {"tools": [2]}, {"tools": [2]}),
        ({"tools": [1], "tool_choice": "auto"}, {"functions": [2]}, {"functions": [2]}),
        ({"data_sources": [1]}, {"dataSources": [2]}, {"dataSources": [2]}),
    ],
)
def test_a_default_yields_to_the_clients_twin(defaults, members, expected):
    body = json.loads(sent(call(**members), deployment(defaults=defaults)).body)
    assert {"model": "gpt", **expected} == body


def test_usage_is_not_injected_beside_configured_data_sources():
    outgoing = sent(call(stream=True), deployment(defaults={"data_sources": [{"type": "x"}]}))
    assert ("stream_options" in json.loads(outgoing.body), outgoing.hide_usage) == (False, False)


@pytest.mark.parametrize(
    ("one", "defaults", "choices"),
    [
        (call(), {}, 1),
        (call(n=3), {}, 3),
        (call(n="3"), {}, 1),
        (call(n=True), {}, 1),
        (call(n=0), {}, 1),
        (call(), {"n": 2}, 2),
        (call(COMPLETIONS, prompt="a", n=2, best_of=5), {}, 2),
        (call(COMPLETIONS, prompt=["a", "b", "c"], n=2), {}, 6),
        (call(COMPLETIONS, prompt=[1, 2, 3]), {}, 1),
        (call(COMPLETIONS, prompt=[[1], [2]]), {}, 2),
        (call(SPEECH, input="x"), {}, 1),
    ],
)
def test_so_many_choices_are_expected_as_are_asked_for(one, defaults, choices):
    assert choices == one.choices(defaults)


def test_fields_that_a_deployment_drops_are_taken_out_and_nothing_else_changes():
    raw = b'{ "model":"gpt", "seed" : 1, "a":{"seed":2},"top_p":1.0 ,"n": 1e0}'
    member = deployment(dropped=frozenset(("seed", "n", "absent")))

    assert b'{"model":"gpt","a":{"seed":2},"top_p":1.0}' == sent(read(CHAT, raw), member).body


def test_a_body_that_has_none_of_the_dropped_fields_is_forwarded_as_it_is():
    raw = b'{ "model":"gpt" ,"a":[ ]}'

    assert raw == sent(read(CHAT, raw), deployment(dropped=frozenset(("seed",)))).body


def test_of_a_large_body_the_dropped_fields_are_taken_out_too_and_the_model_is_replaced_at_its_place():
    long = json.dumps([{"role": "user", "content": "x" * 200_000}]).encode()
    raw = b'{"seed":1,"messages":%b,"user":"u","user":"v","model":"gpt"}' % long
    body = read(CHAT, raw).body.without({"seed", "user"})

    assert b'{"messages":%b,"model":"dep"}' % long == body.replaced({"model": "dep"}, {})


def test_the_fields_of_an_extra_body_are_added_to_any_operation_and_the_clients_own_win():
    member = deployment(extra_body={"a": 1, "b": {"c": 2}}, operations=("embeddings",))
    one = call(EMBEDDINGS, input="x", a=7)

    assert {"a": 7, "b": {"c": 2}} == {
        key: json.loads(sent(one, member, "embeddings").body)[key] for key in ("a", "b")
    }


def test_fields_within_others_are_taken_out_and_the_rest_keeps_its_bytes():
    tools = b'[{"a":1.0, "b":{"c":[{"d":1},{"d":2,"e":1e0}]}}, 5,{"a" :2,"z":"\\u00e9"}]'
    raw = b'{"tools":%b,"seed": 1 ,"model":"gpt"}' % tools
    member = deployment(dropped_within=(("tools", None, "a"), ("tools", 0, "b", "c", 1, "d"), ("seed", "x")))

    expected = b'[{"b":{"c":[{"d":1},{"e":1e0}]}},5,{"z":"\\u00e9"}]'
    assert b'{"tools":%b,"seed": 1,"model":"gpt"}' % expected == sent(read(CHAT, raw), member).body


@pytest.mark.parametrize(
    "path", [("tools", "a"), ("tools", 9, "a"), ("tools", None, "x"), ("user", None, "a")]
)
def test_a_body_without_a_path_is_forwarded_as_it_is(path):
    raw = b'{ "tools" : [{"a":1}] ,"model":"gpt","user":"[{}]" }'

    assert raw == sent(read(CHAT, raw), deployment(dropped_within=(path,))).body


def test_a_list_of_more_elements_than_any_api_takes_is_upstreams_to_judge():
    raw = b'{"tools":[%b],"model":"gpt"}' % b",".join([b'{"a":1}'] * 10_001)

    assert raw == sent(read(CHAT, raw), deployment(dropped_within=(("tools", None, "a"),))).body


def test_a_name_that_is_written_with_escapes_is_taken_out_too():
    raw = b'{"tools":[{"\\u0061b":1,"\xc3\xa9":2,"c":3}],"model":"gpt"}'
    member = deployment(dropped_within=(("tools", None, "ab"), ("tools", None, "é")))

    assert {"tools": [{"c": 3}], "model": "gpt"} == json.loads(sent(read(CHAT, raw), member).body)


def test_what_is_dropped_is_added_by_no_default():
    member = deployment(defaults={"seed": 1}, extra_body={"top_k": 2}, dropped=frozenset(("seed", "top_k")))

    assert not {"seed", "top_k"} & json.loads(sent(call(), member).body).keys()
