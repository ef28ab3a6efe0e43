"""Several deployments under one name: who is tried, how often, and when nobody else is."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import MESSAGES, call, chat, wait_for


@pytest.mark.parametrize(
    ("model", "group", "expected"),
    [
        ("weighted", "weighted", 3 / 4),
        ("by-rpm", "rpm", 3 / 4),
        ("by-tpm", "tpm", 3 / 4),
        ("even", "even", 1 / 2),
    ],
)
def test_requests_are_spread_in_proportion(gateway, pool, model, group, expected):
    deployments = [f"deployment-{group}-{letter}" for letter in "ab"]
    before = [len(pool.log(deployment)) for deployment in deployments]
    requests = 150

    assert {200} == {chat(gateway.port, model).status for _ in range(requests)}

    first, second = (len(pool.log(name)) - count for name, count in zip(deployments, before, strict=True))
    assert requests == first + second
    # Four standard deviations: one failure in 15,000 runs.
    assert abs(first / requests - expected) < 4 * (expected * (1 - expected) / requests) ** 0.5


def test_the_lowest_order_gets_everything_while_it_answers(gateway, pool):
    model = pool.pair()

    assert [200] * 10 == [chat(gateway.port, model.name).status for _ in range(10)]
    assert [10, 0] == pool.counts(model)


MOVES_ON = {
    "reset before": {"reset": "headers"},
    "reset after sending": {"reset": "request"},
    "408": {"preset": "timeout"},
    "429": {"preset": "call_limit"},
    "500": {"preset": "server_error"},
    "502": {"preset": "bad_gateway_html"},
    "503": {"preset": "unavailable_empty"},
    "401 key": {"preset": "key_rotated"},
    "401 role": {"preset": "rbac_401"},
    "401 token": {"preset": "token_401"},
    "403": {"preset": "network_403"},
    "404": {"status": 404},
    "api-version": {
        "status": 400,
        "body": {"error": {"code": "BadRequest", "message": "API version not supported"}},
    },
    "redirect": {"preset": "redirect"},
    "torn json": {"cut": {"after": 50, "how": "eof"}},
    "reset in json": {"cut": {"after": 50, "how": "reset"}},
}


def sent(fault):
    """The requests that a pair of deployments may see.

    A kept connection that ends without a byte of a reply is replaced by a new one, within the same attempt.
    """
    return [[1, 1], [2, 1]] if "reset" in fault else [[1, 1]]


@pytest.mark.parametrize("name", MOVES_ON)
def test_the_next_deployment_answers_when_the_first_cannot(gateway, pool, name):
    model = pool.pair(MOVES_ON[name] | {"times": 0})

    answer = chat(gateway.port, model.name)

    assert 200 == answer.status
    assert pool.counts(model) in sent(MOVES_ON[name])
    line = gateway.lines(answer.headers["x-request-id"])[0]
    assert (f"{model.name}#2", 2) == (line["deployment"], line["attempts"])


IN_STREAMS = {
    "reset after sending": {"reset": "request"},
    "500": {"preset": "server_error"},
    "429": {"preset": "token_limit"},
    "json": {"json_for_stream": True},
    "end before the first event": {"cut": {"after": 0, "how": "end"}},
    "reset before the first event": {"cut": {"after": 0, "how": "reset"}},
    "an error as the first event": {"error_event_after": 0},
}


@pytest.mark.parametrize("name", IN_STREAMS)
def test_a_stream_moves_on_before_its_first_byte(gateway, pool, name):
    model = pool.pair(IN_STREAMS[name] | {"times": 0})

    answer = chat(gateway.port, model.name, stream=True)

    assert (200, "[DONE]") == (answer.status, answer.events[-1])
    assert pool.counts(model) in sent(IN_STREAMS[name])


@pytest.mark.parametrize("how", ["reset", "eof", "end"])
def test_a_stream_never_moves_on_after_its_first_byte(gateway, pool, how):
    # The first event tells the filter's results, the second begins the answer.
    model = pool.pair({"cut": {"after": 2, "how": how}})

    answer = chat(gateway.port, model.name, stream=True)

    assert ("upstream_error", [1, 0]) == (answer.events[-1]["error"]["code"], pool.counts(model))


def test_a_refused_connection_moves_on(gateway):
    assert 200 == chat(gateway.port, "half-nowhere").status


def test_the_same_body_reaches_the_next_deployment(gateway, pool):
    model = pool.pair({"status": 500})
    body = b'{ "model":"%s","messages":[{"role":"user","content":"1.0"}] }' % model.name.encode()

    assert 200 == call(gateway.port, "POST", "/v1/chat/completions", body).status

    assert [body.decode()] * 2 == [entry["body"] for entry in pool.log(*model.deployments)]


def test_four_deployments_at_most_are_tried_each_once(gateway, pool):
    model = pool.six()
    for deployment in model.deployments:
        pool.simulator.fault(deployment, {"status": 500, "times": 0})

    answer = chat(gateway.port, model.name)

    assert (502, [1, 1, 1, 1, 0, 0]) == (answer.status, pool.counts(model))
    assert 4 == gateway.lines(answer.headers["x-request-id"])[0]["attempts"]


def test_after_a_time_out_one_more_is_tried_at_most(impatient, pool, simulator):
    # The gateway's reply time-out is five seconds, so only the first try's time is used up.
    model = pool.six()
    for deployment in model.deployments:
        simulator.fault(deployment, {"delay_s": 30, "times": 0})

    answer = chat(impatient.port, model.name)

    assert 504 == answer.status
    assert sum(pool.counts(model)) <= 2


def test_a_limit_everywhere_is_a_429_with_retry_headers(gateway, pool):
    limit = {
        "status": 429,
        "headers": {"retry-after": "7"},
        "body": {"error": {"code": "429", "message": "x"}},
    }
    model = pool.pair(limit)
    pool.simulator.fault(model.deployments[1], limit | {"headers": {"retry-after": "9"}})

    answer = chat(gateway.port, model.name)

    assert (429, "rate_limit_exceeded", "requests") == (
        answer.status,
        answer.error["code"],
        answer.error["type"],
    )
    # The deployment that is back first counts; a busy machine may have used a second or two.
    seconds = int(answer.headers["retry-after"])
    assert (True, str(seconds * 1000)) == (4 <= seconds <= 7, answer.headers["retry-after-ms"])
    assert [1, 1] == pool.counts(model)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after-ms": "2500"}, 3),
        ({"retry-after": "86400"}, 60),
    ],
)
def test_upstreams_retry_after_reaches_the_client_within_bounds(gateway, pool, headers, seconds):
    model = pool.solo({"status": 429, "headers": headers, "times": 0})

    answer = chat(gateway.port, model.name)

    assert (429, str(seconds), [1]) == (answer.status, answer.headers["retry-after"], pool.counts(model))


@pytest.mark.parametrize("headers", [{}, {"retry-after": "0", "retry-after-ms": "0"}], ids=["none", "zero"])
def test_a_limit_that_names_no_time_still_gives_clients_one_they_obey(gateway, pool, headers):
    model = pool.solo({"status": 429, "headers": headers, "times": 0})

    answer = chat(gateway.port, model.name)

    seconds = int(answer.headers["retry-after"])
    assert (429, [1], True) == (answer.status, pool.counts(model), 1 <= seconds <= 60)
    assert str(seconds * 1000) == answer.headers["retry-after-ms"]


def test_a_limited_deployment_is_left_alone_until_its_time_is_up(gateway, pool):
    model = pool.pair({"status": 429, "headers": {"retry-after": "2"}})

    assert wait_for(lambda: chat(gateway.port, model.name).status != 200 or pool.counts(model)[0] == 2)

    limited, again = (entry["arrived"] for entry in pool.log(model.deployments[0]))
    others = [entry["arrived"] for entry in pool.log(model.deployments[1])]
    assert again - limited > 1.9
    # Meanwhile all were answered by the other.
    assert others
    assert [] == [moment for moment in others if moment > again]


def test_a_lone_deployment_that_is_limited_is_not_called_until_its_time_is_up(gateway, pool):
    model = pool.solo({"status": 429, "headers": {"retry-after": "20"}})

    statuses = [chat(gateway.port, model.name).status for _ in range(3)]

    assert ([429, 429, 429], [1]) == (statuses, pool.counts(model))


def test_a_lone_deployment_is_tried_again_with_backoff(gateway, pool):
    faults = [{"status": 500}, {"cut": {"after": 50, "how": "reset"}}, {"preset": "timeout"}]
    models = [pool.solo(fault | {"times": 2}) for fault in faults] + [pool.solo({"status": 500, "times": 0})]

    with ThreadPoolExecutor() as side_by_side:
        statuses = list(side_by_side.map(lambda model: chat(gateway.port, model.name).status, models))

    # The last one shows that `num_retries`, two, is the end.
    assert [200, 200, 200, 502] == statuses
    for model in models:
        first, second, third = (entry["arrived"] for entry in pool.log(*model.deployments))
        # Half a second and a whole one, each up to a quarter less.
        assert second - first > 0.35
        assert third - second > 0.7


@pytest.mark.parametrize(
    "fault", [{"preset": "rbac_401"}, {"preset": "call_limit"}, {"status": 404}], ids=["401", "429", "404"]
)
def test_a_lone_deployment_is_not_retried_where_that_cannot_help(gateway, pool, fault):
    model = pool.solo(fault | {"times": 0})

    assert chat(gateway.port, model.name).status in {429, 502}
    assert [1] == pool.counts(model)


def test_an_operation_that_the_deployment_cannot_do_is_not_tried_elsewhere(gateway, pool):
    model = pool.pair()

    answer = call(
        gateway.port, "POST", "/v1/audio/speech", {"model": model.name, "input": "x", "voice": "alloy"}
    )

    assert (400, "OperationNotSupported", [1, 0]) == (answer.status, answer.error["code"], pool.counts(model))


def test_a_wait_for_the_lone_deployment_that_would_last_too_long_is_not_waited(gateway, pool):
    model = pool.solo({"status": 503, "headers": {"retry-after": "30"}, "times": 0})
    began = time.monotonic()

    answer = chat(gateway.port, model.name)

    assert (503, "30", [1]) == (answer.status, answer.headers["retry-after"], pool.counts(model))
    assert time.monotonic() - began < 30


def test_two_requests_at_once_do_not_share_their_tries(gateway, pool):
    model = pool.pair({"status": 500, "times": 0})

    answers = [chat(gateway.port, model.name, user=str(number), messages=MESSAGES) for number in range(4)]

    assert ([200] * 4, [4, 4]) == ([answer.status for answer in answers], pool.counts(model))
