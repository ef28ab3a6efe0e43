"""Pages that call the gateway from a browser: CORS on the embedded host (on Azure the platform does it)."""

from __future__ import annotations

import pytest
from support.calls import KEY, MESSAGES, call
from support.gateways import start_gateway
from support.upstream import gateway_config

PAGE = "https://page.example"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def open_to_pages(simulator):
    origins = f"{PAGE}, http://localhost:3000"
    with start_gateway("embedded", gateway_config(simulator.url), GATEWAY_CORS_ORIGINS=origins) as running:
        yield running


def preflight(port, origin, headers="authorization,content-type,x-stainless-os", method="POST", path=CHAT):
    asks = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }
    return call(port, "OPTIONS", path, key=None, headers=asks)


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("POST", "/v1/embeddings")]
)
def test_a_listed_page_may_call_without_showing_its_key_first(open_to_pages, origin, method, path):
    answer = preflight(open_to_pages.port, origin, method=method, path=path)

    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert (200, origin) == (answer.status, answer.headers["access-control-allow-origin"])
    assert {"authorization", "content-type", "x-stainless-os"} <= allowed
    assert method in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) > 0


def test_another_page_may_not(open_to_pages):
    refused = preflight(open_to_pages.port, "https://evil.example")
    answer = call(open_to_pages.port, "GET", "/v1/models", headers={"origin": "https://evil.example"})

    assert (400, None) == (refused.status, refused.headers["access-control-allow-origin"])
    assert None is answer.headers["access-control-allow-origin"]


ANSWERS = {
    "chat": (CHAT, {"model": "gpt-4o", "messages": MESSAGES}, KEY, 200),
    "stream": (CHAT, {"model": "gpt-4o", "messages": MESSAGES, "stream": True}, KEY, 200),
    "wrong key": (CHAT, {"model": "gpt-4o", "messages": MESSAGES}, "wrong", 401),
    "bad body": (CHAT, b"{", KEY, 400),
    "unknown model": (CHAT, {"model": "nothing"}, KEY, 404),
    "unknown path": ("/nothing", {}, KEY, 404),
    "failure upstream": (CHAT, {"model": "missing", "messages": MESSAGES}, KEY, 502),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_page_can_read_every_answer_and_its_request_id(open_to_pages, name):
    path, body, key, status = ANSWERS[name]

    answer = call(open_to_pages.port, "POST", path, body, key=key, headers={"origin": PAGE})

    assert (status, PAGE) == (answer.status, answer.headers["access-control-allow-origin"])
    exposed = answer.headers["access-control-expose-headers"].lower()
    told = {"x-request-id", "retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-remaining-tokens"}
    assert told <= {word.strip() for word in exposed.split(",")}


def test_without_the_setting_no_page_may_call(gateway):
    answer = call(gateway.port, "GET", "/v1/models", headers={"origin": PAGE})

    assert (405, None) == (
        preflight(gateway.port, PAGE).status,
        answer.headers["access-control-allow-origin"],
    )
