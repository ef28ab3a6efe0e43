"""What a request to an upstream begins with, and where it goes."""

import pytest

from gateway.upstream.connections import Origin
from gateway.upstream.request_head import addressed, request_head


@pytest.mark.parametrize(
    ("url", "origin", "target", "host"),
    [
        (
            "https://One.openai.azure.com/openai/deployments/a%2Fb/x?api-version=2024-10-21",
            Origin("one.openai.azure.com", 443, secure=True),
            "/openai/deployments/a%2Fb/x?api-version=2024-10-21",
            "one.openai.azure.com",
        ),
        ("https://x.example:443/v1", Origin("x.example", 443, secure=True), "/v1", "x.example"),
        ("https://x.example:8443", Origin("x.example", 8443, secure=True), "/", "x.example:8443"),
        ("http://127.0.0.1:80/a", Origin("127.0.0.1", 80, secure=False), "/a", "127.0.0.1"),
        ("http://127.0.0.1:443/a", Origin("127.0.0.1", 443, secure=False), "/a", "127.0.0.1:443"),
        ("http://[::1]:8080/a?b", Origin("::1", 8080, secure=False), "/a?b", "[::1]:8080"),
        ("https://[2001:DB8::1]/a", Origin("2001:db8::1", 443, secure=True), "/a", "[2001:db8::1]"),
    ],
)
def test_a_request_goes_where_its_url_leads(url, origin, target, host):
    found, beginning = addressed(url)
    line, named, *_ = beginning.decode().split("\r\n")

    assert origin == found
    assert (f"POST {target} HTTP/1.1", f"host: {host}") == (line, named)


def test_a_head_ends_with_the_length_of_the_body():
    head = request_head(addressed("https://x.example/a")[1], {"api-key": "k", "x-name": "Zo\u00eb"}, 17)
    lines = head.decode().split("\r\n")

    assert ["api-key: k", "x-name: Zo\u00eb", "content-length: 17", "", ""] == lines[-5:]
    assert ["accept-encoding: identity", "content-type: application/json"] == sorted(lines[3:5])
    assert len(lines) == len({line.partition(":")[0] for line in lines[:-2]}) + 2
