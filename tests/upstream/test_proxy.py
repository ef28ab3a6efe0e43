"""Upstreams behind a company's proxy, by certificates of a company's authority."""

import asyncio
import base64

import pytest
from doubles.proxy import TunnelProxy
from support.certificates import make_authority
from support.scripted import listening, reply

from gateway.upstream.client import Upstream
from gateway.upstream.failures import Unreachable
from gateway.upstream.proxy import Network

pytestmark = pytest.mark.system

HOST = "my-resource.openai.azure.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("tls"))


def posted(
    authority,
    *,
    url=f"https://{HOST}/x",
    given="",
    credentials=None,
    bypass=(),
    hosts=(f"{HOST}:443",),
    calls=1,
):
    """The replies' statuses, and what the proxy was asked for."""

    async def serve(reader, writer):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(200, b"{}"))

    async def work():
        async with listening(serve, ssl=authority.server_context(HOST)) as port:
            proxy = TunnelProxy(dict.fromkeys(hosts, port), credentials=credentials)
            async with proxy.running():
                network = Network(f"http://{given}127.0.0.1:{proxy.port}", bypass, str(authority.file))
                upstream = Upstream(network)
                statuses = []
                try:
                    for _ in range(calls):
                        exchange = await upstream.post(url, {}, b"{}", silence=5)
                        await exchange.read()
                        await exchange.close()
                        statuses.append(exchange.status)
                finally:
                    await upstream.close()
                return statuses, proxy.asked

    return asyncio.run(work())


def test_an_upstream_is_reached_through_a_tunnel_that_is_used_again(authority):
    assert ([200, 200], [f"{HOST}:443"]) == posted(authority, calls=2)


def test_a_proxy_may_ask_for_a_name_and_a_password(authority):
    credentials = base64.b64encode(b"user:p@ss").decode()
    assert [200] == posted(authority, given="user:p%40ss@", credentials=credentials)[0]


@pytest.mark.parametrize("options", [{"hosts": ()}, {"credentials": "x"}])
def test_a_tunnel_that_is_refused_is_an_upstream_out_of_reach(authority, options):
    with pytest.raises(Unreachable):
        posted(authority, **options)


@pytest.mark.parametrize(
    ("entry", "bypassed"),
    [
        ("*", True),
        (HOST, True),
        ("openai.azure.com", True),
        (".azure.com", True),
        (f"{HOST}:443", True),
        (f"{HOST}:8443", False),
        ("resource.openai.azure.com", False),
        ("AZURE.com", True),
        ("", False),
    ],
)
def test_hosts_may_be_reached_without_it(entry, bypassed):
    network = Network("http://proxy", tuple(filter(None, [entry])))
    assert (None if bypassed else ("proxy", 80)) == network.proxy_for(HOST, 443)


def test_without_a_proxy_nothing_goes_through_one():
    assert Network().proxy_for(HOST, 443) is None


def test_the_proxys_password_is_not_printed():
    assert "hunter2" not in repr(Network("http://user:hunter2@proxy"))
