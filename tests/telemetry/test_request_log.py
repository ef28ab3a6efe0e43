"""One line for each request, with everything but content."""

import asyncio
import json
import logging

import pytest
from support.assembled import Assembled, reply_to
from support.samples import Caller, config, deployment, settings
from support.scripted import Scripted, reply

from gateway.protocol.messages import Request
from gateway.protocol.operations import CHAT
from gateway.protocol.usage import Usage
from gateway.telemetry import request_log as telemetry
from gateway.telemetry.record import Record
from gateway.upstream.client import Upstream

pytestmark = pytest.mark.system

FULL = Record(
    "req_1",
    "chat",
    100.0,
    "master",
    "gpt",
    "gpt#1",
    True,
    200,
    None,
    Usage(3, 4),
    2,
    waited=0.5,
    first_byte=100.75,
)


def written(caplog, record, now):
    with caplog.at_level(logging.INFO, "gateway.request"):
        telemetry.write(record, now)
    (entry,) = caplog.records
    return json.loads(entry.getMessage())


def test_the_line_has_what_an_operator_asks_for(caplog):
    expected = {
        "request_id": "req_1",
        "gen_ai.operation.name": "chat",
        "client": "master",
        "gen_ai.request.model": "gpt",
        "deployment": "gpt#1",
        "stream": True,
        "status": 200,
        "error": None,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
        "attempts": 2,
        "first_byte_ms": 750.0,
        "duration_ms": 2000.0,
        "own_ms": 250.0,
    }
    assert expected == written(caplog, FULL, 102.0)


def test_without_a_first_byte_the_whole_time_is_its_time(caplog):
    line = written(caplog, Record("r", "chat", 1.0, waited=5.0), 2.0)
    assert (1000.0, 1000.0, 0.0) == (line["first_byte_ms"], line["duration_ms"], line["own_ms"])


def test_line_breaks_in_a_model_do_not_break_the_line(caplog):
    record = Record("r", "chat", 1.0, requested_model='a\n{"b":1}')
    assert 'a\n{"b":1}' == written(caplog, record, 1.0)["gen_ai.request.model"]
    assert "\n" not in caplog.records[0].getMessage()


@pytest.mark.parametrize("model", ["gr\u00f6\u00dfe", "del\x7f", "half\ud800", "\u2028", "plain"], ids=ascii)
def test_a_line_is_printable_ascii_whatever_a_model_is_called(caplog, model):
    record = Record("r", "chat", 1.0, requested_model=model)
    assert model == written(caplog, record, 1.0)["gen_ai.request.model"]
    line = caplog.records[0].getMessage()
    assert line.isascii()
    assert line.isprintable()


def test_a_line_repeats_no_more_than_200_characters_of_what_came_from_outside(caplog):
    record = Record(
        "r", "chat", 1.0, requested_model="m" * 201, deployment="d" * 201, error_code="e" * 10_000
    )
    line = written(caplog, record, 1.0)
    names = ("gen_ai.request.model", "deployment", "error")
    assert ["m" * 200, "d" * 200, "e" * 200] == [line[name] for name in names]


def test_nothing_is_made_where_nobody_listens(caplog):
    with caplog.at_level(logging.WARNING, "gateway.request"):
        telemetry.write(FULL, 1.0)
    assert [] == caplog.records


SECRETS = [
    "the-prompt",
    "the-answer",
    "the-client-key",
    "upstream-key",
    "127.0.0.1",
    "dep-a",
    "the-upstream-words",
]


@pytest.mark.parametrize(
    "script",
    [
        [
            reply(
                200,
                {
                    "choices": [{"message": {"content": "the-answer"}}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                },
            )
        ],
        [reply(400, {"error": {"message": "the-upstream-words", "code": "bad"}})],
        [reply(500, {"error": {"message": "the-upstream-words", "code": "bad"}})],
        [reply(401, {"error": {"message": "the-upstream-words"}})],
        [reply(429, {"error": {"message": "the-upstream-words"}})],
        [reply(200, b"the-answer")],
    ],
    ids=["answered", "refused", "failed", "no access", "limited", "no json"],
)
def test_no_log_tells_prompts_answers_keys_or_places(caplog, script):
    caplog.set_level(logging.DEBUG)

    async def handle():
        async with Scripted(*script) as upstream:
            one = config(deployment(base=upstream.url), master_key="the-client-key", num_retries=0)
            pool = Upstream()
            gateway = Assembled(one, pool, clock=lambda: 100.0).gateway(settings())
            body = json.dumps(
                {"model": "gpt", "messages": [{"role": "user", "content": "the-prompt"}]}
            ).encode()
            headers = {"authorization": "Bearer the-client-key"}
            await reply_to(gateway, Request(CHAT, headers, Caller([body])))
            await pool.close()

    asyncio.run(handle())
    ours = [record for record in caplog.records if record.name.startswith("gateway")]
    assert "gateway.request" in {record.name for record in ours}
    for record in caplog.records:
        if record.name != "asyncio":
            assert [] == [secret for secret in SECRETS if secret in record.getMessage()], record.name


def test_a_defect_is_logged_by_kind_and_place_only(caplog):
    class Broken:
        def account(self, *_):
            raise RuntimeError("the-prompt")

    async def handle():
        gateway = Assembled(config(deployment()), None, clock=lambda: 100.0).gateway(settings(), Broken())
        body = b'{"model":"gpt","messages":["the-prompt"]}'
        return await reply_to(gateway, Request(CHAT, {"x-request-id": "r1"}, Caller([body])))

    reply_ = asyncio.run(handle())
    assert (500, True) == (reply_.status, b"internal_error" in reply_.body)
    assert "the-prompt" not in caplog.text
    assert "request r1: RuntimeError < account:" in caplog.text


def test_refusals_are_told_once_a_second_with_their_number_in_whatever_order_they_began():
    refusals = telemetry.Refusals()
    moments = (10.0, 10.5, 9.9, 10.9, 11.0, 10.9, 12.1, 5.0)
    assert [1, 0, 0, 0, 4, 0, 2, 1] == [refusals.count(moment) for moment in moments]
