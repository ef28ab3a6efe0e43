"""Entra tokens by the real azure-identity, against doubles of the endpoints that issue them."""

import asyncio
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from support.assembled import Assembled
from support.calls import PATIENCE
from support.certificates import make_authority
from support.samples import call, config, deployment
from support.scripted import Scripted, listening, reply, then

from gateway.adapters.identity import RETRY_FETCH, EntraTokens
from gateway.config.deployment import DefaultIdentity
from gateway.errors import UpstreamFailed, UpstreamUnavailable, error_body
from gateway.telemetry.record import Record
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import IdentityFailed
from simulator.testing import serve

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DEFAULT = DefaultIdentity()


class Issuer:
    """Issues token-1, token-2, ... in the forms of App Service's identity endpoint and of Entra."""

    def __init__(self, *, delay=0.0, lifetime=3600, failing=False, flat=False):
        self.delay = delay
        self.lifetime = lifetime
        self.failing = failing
        #: Always the same token.
        self.flat = flat
        #: (request line, headers, body) of every request.
        self.requests = []
        self.answered = 0

    async def handle(self, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *lines = head.split("\r\n")[:-2]
            headers = dict(header.lower().split(": ", 1) for header in lines)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((line, headers, body.decode()))
            number = 1 if self.flat else len(self.requests)
            await asyncio.sleep(self.delay)
            self.answered += 1
            if self.failing:
                writer.write(
                    reply(400, {"statusCode": 400, "message": "No identity found", "error": "invalid_client"})
                )
                continue
            token = {
                "access_token": f"token-{number}",
                "token_type": "Bearer",
                "resource": "x",
                "client_id": "y",
            }
            expiry = {"expires_in": self.lifetime, "expires_on": str(int(time.time()) + self.lifetime)}
            writer.write(reply(200, token | expiry))

    @property
    def count(self):
        return len(self.requests)


def run(test, issuer, monkeypatch, clock=time.time):
    """Run `test(tokens)` with `issuer` as the platform's identity endpoint."""

    async def work():
        async with listening(issuer.handle) as port:
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{port}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", "the-identity-header")
            tokens = EntraTokens(clock)
            try:
                return await test(tokens)
            finally:
                await tokens.close()

    return asyncio.run(work())


@pytest.fixture
def later(monkeypatch):
    """Moves the clock of the whole process."""
    real, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    def move(seconds):
        offset[0] += seconds

    return move


def now():
    return time.time()


def test_the_default_identity_asks_the_platforms_endpoint(monkeypatch):
    issuer = Issuer()
    assert "token-1" == run(lambda tokens: tokens.token(DEFAULT), issuer, monkeypatch)
    ((line, headers, _),) = issuer.requests
    query = parse_qs(urlsplit(line.split(" ")[1]).query)
    assert ["2019-08-01"] == query["api-version"]
    assert ["https://cognitiveservices.azure.com"] == query["resource"]
    assert "the-identity-header" == headers["x-identity-header"]


def test_fifty_requests_at_once_cost_one_fetch(monkeypatch):
    issuer = Issuer(delay=0.05)

    async def test(tokens):
        first = await asyncio.gather(*(tokens.token(DEFAULT) for _ in range(50)))
        return {*first, await tokens.token(DEFAULT)}

    assert ({"token-1"}, 1) == (run(test, issuer, monkeypatch), issuer.count)


def test_each_scope_has_a_token_of_its_own(monkeypatch):
    async def test(tokens):
        other = DefaultIdentity("https://ai.azure.com/.default")
        return [await tokens.token(DEFAULT), await tokens.token(other), await tokens.token(DEFAULT)]

    assert ["token-1", "token-2", "token-1"] == run(test, Issuer(), monkeypatch)


def test_a_caller_that_leaves_does_not_end_the_fetch_of_the_others(monkeypatch):
    issuer = Issuer(delay=0.1)

    async def test(tokens):
        leaving = asyncio.create_task(tokens.token(DEFAULT))
        staying = asyncio.create_task(tokens.token(DEFAULT))
        await asyncio.sleep(0.05)
        leaving.cancel()
        return await staying

    assert ("token-1", 1) == (run(test, issuer, monkeypatch), issuer.count)


def test_a_token_is_renewed_beside_the_requests_that_still_use_it(monkeypatch, later):
    issuer = Issuer()

    async def test(tokens):
        await tokens.token(DEFAULT)
        later(3600 - 200)
        issuer.delay = 0.2
        meanwhile = {await tokens.token(DEFAULT) for _ in range(20)}
        answered = issuer.answered
        while issuer.answered == answered or (renewed := await tokens.token(DEFAULT)) in meanwhile:
            await asyncio.sleep(0.01)
        return meanwhile, answered, renewed

    meanwhile, answered, renewed = run(test, issuer, monkeypatch, now)
    assert ({"token-1"}, "token-2", 2) == (meanwhile, renewed, issuer.count)
    # None has waited for the second answer.
    assert 1 == answered


def test_a_failed_renewal_leaves_the_old_token_in_use(monkeypatch, later):
    issuer = Issuer()

    async def test(tokens):
        await tokens.token(DEFAULT)
        later(3600 - 200)
        issuer.failing = True
        values = [await tokens.token(DEFAULT)]
        await asyncio.sleep(0.2)
        failed = issuer.count
        values += [await tokens.token(DEFAULT) for _ in range(5)]
        return values, failed == issuer.count

    assert (["token-1"] * 6, True) == run(test, issuer, monkeypatch, now)


async def settled(tokens):
    """Wait for the fetch under way."""
    while tokens._entries[DEFAULT].fetch is not None:
        await asyncio.sleep(0.01)


def test_an_outage_of_minutes_is_not_felt_while_the_token_lives(monkeypatch, later):
    """Renewal begins five minutes before the token's end and fails for four of them."""
    issuer = Issuer()

    async def test(tokens):
        await tokens.token(DEFAULT)
        later(3600 - 295)
        issuer.failing = True
        values = set()
        for _ in range(8):
            values.add(await tokens.token(DEFAULT))
            await settled(tokens)
            later(30)
        tried = issuer.count - 1
        issuer.failing = False
        values.add(await tokens.token(DEFAULT))
        await settled(tokens)
        return values, tried, await tokens.token(DEFAULT)

    assert ({"token-1"}, 8, "token-10") == run(test, issuer, monkeypatch, now)


def test_the_nearer_a_tokens_end_the_sooner_its_renewal_is_tried_again(monkeypatch, later):
    issuer = Issuer()

    async def test(tokens):
        await tokens.token(DEFAULT)
        issuer.failing = True
        later(3600 - 50)
        for seconds in (4, 2, 1, 1):
            await tokens.token(DEFAULT)
            await settled(tokens)
            later(seconds)
        return issuer.count - 1

    # 20 s are left at first: after 4 s it is not time yet, after 6 s it is.
    assert 2 == run(test, issuer, monkeypatch, now)


def test_an_expired_token_is_waited_for(monkeypatch, later):
    async def test(tokens):
        await tokens.token(DEFAULT)
        later(3600 - 20)
        return await tokens.token(DEFAULT)

    assert "token-2" == run(test, Issuer(), monkeypatch, now)


def test_without_a_token_requests_fail_at_once_for_a_while(monkeypatch, later, caplog):
    issuer = Issuer(failing=True)

    async def test(tokens):
        for _ in range(3):
            with pytest.raises(IdentityFailed):
                await tokens.token(DEFAULT)
        failed = issuer.count
        issuer.failing = False
        later(RETRY_FETCH + 1)
        return failed, await tokens.token(DEFAULT)

    assert (1, "token-2") == run(test, issuer, monkeypatch, now)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.identity"]
    assert line.startswith("no Entra token: ")


def test_a_discarded_token_is_fetched_anew_and_an_older_one_is_not_missed(monkeypatch):
    issuer = Issuer()

    async def test(tokens):
        first = await tokens.token(DEFAULT)
        tokens.discard(DEFAULT, first)
        second = await tokens.token(DEFAULT)
        tokens.discard(DEFAULT, first)
        return second, await tokens.token(DEFAULT)

    assert (("token-2", "token-2"), 2) == (run(test, issuer, monkeypatch), issuer.count)


def test_tokens_of_identities_that_nobody_names_any_more_are_forgotten_and_the_others_kept(monkeypatch):
    issuer, other = Issuer(), DefaultIdentity("https://other/.default")

    async def test(tokens):
        before = [await tokens.token(identity) for identity in (DEFAULT, other)]
        tokens.keep({DEFAULT})
        after = [await tokens.token(identity) for identity in (DEFAULT, other)]
        return before, after

    assert (["token-1", "token-2"], ["token-1", "token-3"]) == run(test, issuer, monkeypatch)


def test_a_call_that_waits_for_a_token_gets_it_though_nobody_names_its_identity_any_more(monkeypatch):
    issuer = Issuer(delay=0.1)

    async def test(tokens):
        waiting = asyncio.ensure_future(tokens.token(DEFAULT))
        while not issuer.count:
            await asyncio.sleep(0.01)
        tokens.keep(set())
        return await waiting

    assert "token-1" == run(test, issuer, monkeypatch)


def test_discarding_what_was_never_fetched_does_nothing():
    EntraTokens(time.time).discard(DEFAULT, "x")


def test_closing_ends_a_fetch_under_way(monkeypatch):
    async def test(tokens):
        waiting = asyncio.create_task(tokens.token(DEFAULT))
        await asyncio.sleep(0.1)
        await tokens.close()
        await asyncio.wait({waiting}, timeout=2)
        return waiting.done()

    assert run(test, Issuer(delay=30), monkeypatch)


def test_a_slow_fetch_does_not_block_the_loop(monkeypatch):
    async def test(tokens):
        fetching = asyncio.create_task(tokens.token(DEFAULT))
        beats = 0
        while not fetching.done():
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    assert run(test, Issuer(delay=0.3), monkeypatch) > 10


async def run_program(source, issuer, environ, **options):
    """What a fresh process prints; `{port}` in its environment is the issuer's."""
    async with listening(issuer.handle, **options) as port:
        own = {name: value.format(port=port) for name, value in environ.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", source, env={"PATH": "/nowhere", **own}, cwd=ROOT, stdout=-1, stderr=-1
        )
        async with asyncio.timeout(PATIENCE):
            output, log = await process.communicate()
    return output.decode(), log.decode()


BEATS = """
import asyncio, sys, time
from gateway.adapters.identity import EntraTokens
from gateway.config.deployment import DefaultIdentity

async def main():
    assert "azure.identity" not in sys.modules
    tokens = EntraTokens(time.time)
    fetching = asyncio.create_task(tokens.token(DefaultIdentity()))
    started = last = time.monotonic()
    longest = 0.0
    while not fetching.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert "azure.identity" in sys.modules
    await tokens.close()
    print(fetching.result(), longest, time.monotonic() - started)

asyncio.run(main())
"""


def test_importing_azure_identity_does_not_block_the_loop():
    environ = {"IDENTITY_ENDPOINT": "http://127.0.0.1:{port}/", "IDENTITY_HEADER": "x"}
    output, log = asyncio.run(run_program(BEATS, Issuer(), environ))
    token, longest, seconds = output.split()
    assert ("token-1", "") == (token, log)
    # The import takes most of the time. It holds the interpreter now and then, but never for long.
    assert float(longest) < float(seconds) / 3


SIGN_IN = """
import asyncio, logging, time
from gateway.adapters.identity import EntraTokens
from gateway.config.deployment import ClientSecret

async def main():
    tokens = EntraTokens(time.time)
    application = ClientSecret("tenant", "client", "the-client-secret")
    requests = (tokens.token(application) for _ in range(50))
    print({repr(result) for result in await asyncio.gather(*requests, return_exceptions=True)})
    await tokens.close()

logging.basicConfig(level=logging.INFO)
asyncio.run(main())
"""


def sign_in(issuer, folder):
    """What an application that signs in prints and logs; `issuer` stands for Entra, behind TLS."""
    authority = make_authority(folder)
    # aiohttp, which azure-identity uses, reads SSL_CERT_FILE when it is imported.
    environ = {"AZURE_AUTHORITY_HOST": "https://localhost:{port}", "SSL_CERT_FILE": str(authority.file)}
    return asyncio.run(run_program(SIGN_IN, issuer, environ, ssl=authority.server_context("localhost")))


def test_an_application_signs_in_with_its_secret_once(tmp_path):
    issuer = Issuer(delay=0.05)
    output, log = sign_in(issuer, tmp_path)
    assert "{\"'token-1'\"}" == output.strip()
    ((line, _, body),) = issuer.requests
    assert "POST /tenant/oauth2/v2.0/token HTTP/1.1" == line
    form = parse_qs(body)
    assert (["the-client-secret"], ["client"]) == (form["client_secret"], form["client_id"])
    assert ["https://cognitiveservices.azure.com/.default"] == form["scope"]
    assert "the-client-secret" not in log


def test_an_application_that_may_not_sign_in_fails_without_telling_its_secret(tmp_path):
    output, log = sign_in(Issuer(failing=True), tmp_path)
    assert "{'IdentityFailed()'}" == output.strip()
    assert 1 == log.count("no Entra token: ClientAuthenticationError")
    assert "the-client-secret" not in log


SIMULATED = {
    "accounts": [
        {
            "name": "a",
            "keys": ["k"],
            "tokens": ["token-2"],
            "deployments": [{"name": "dep-a", "model": "gpt-4o"}],
        }
    ]
}


REFUSING = {"accounts": [SIMULATED["accounts"][0] | {"tokens": ["token-of-nobody"]}]}


def dispatched(tokens, base, times=1):
    """([status or error], record) of calls of a deployment that takes Entra tokens."""

    async def work():
        member = deployment(base=base, credential=DEFAULT)
        target = member.targets["chat"]
        url = f"{base}/openai/deployments/dep-a/chat/completions?api-version=2024-10-21"
        member.targets["chat"] = type(target)(url, model_in_body=False, stream_usage=True)
        record, results = Record("r", "chat", 0.0), []
        pool = Upstream()
        parts = Assembled(config(member, num_retries=0), pool, tokens, clock=time.time)
        for _ in range(times):
            try:
                one = call(messages=[{"role": "user", "content": "hi"}])
                results.append((await parts.sent(one, record, 5)).status)
            except (UpstreamFailed, UpstreamUnavailable) as error:
                results.append(error)
        await parts.sharing.close()
        await pool.close()
        return results, record

    return work()


def test_a_refused_token_is_refreshed_once_and_the_call_sent_once_more(monkeypatch):
    issuer = Issuer()
    with serve(SIMULATED) as simulator:
        results, record = run(lambda tokens: dispatched(tokens, simulator.url, times=2), issuer, monkeypatch)
        statuses = [entry["status"] for entry in simulator.log]
        sent = [dict(entry["headers"]) for entry in simulator.log]
    assert ([200, 200], 2, 3) == (results, issuer.count, record.attempts)
    assert [401, 200, 200] == statuses
    bearers = [{name.lower(): value for name, value in headers.items()}["authorization"] for headers in sent]
    assert ["Bearer token-1", "Bearer token-2", "Bearer token-2"] == bearers
    assert not any(name.lower() == "api-key" for headers in sent for name in headers)


def test_the_refused_try_leaves_no_connection_behind(monkeypatch):
    head = b"HTTP/1.1 401 X\r\ntransfer-encoding: chunked\r\n\r\n"

    async def test(tokens):
        async with Scripted(then(head, "hang"), reply()) as server:
            results, _ = await dispatched(tokens, server.url)
            async with asyncio.timeout(PATIENCE):
                while server.left < 2:  # the pool closed the other one
                    await asyncio.sleep(0.005)
            return results, server.connections

    assert ([200], 2) == run(test, Issuer(), monkeypatch)


@pytest.mark.parametrize(("flat", "statuses"), [(False, [401, 401]), (True, [401])], ids=["another", "same"])
def test_a_refused_token_is_replaced_once_if_there_is_another_and_ends_in_a_neutral_502(
    monkeypatch, flat, statuses
):
    issuer = Issuer(flat=flat)
    with serve(REFUSING) as simulator:
        (error,), _ = run(lambda tokens: dispatched(tokens, simulator.url), issuer, monkeypatch)
        seen = [entry["status"] for entry in simulator.log]
    assert (statuses, 2, 502) == (seen, issuer.count, error.status)
    assert error_body(UpstreamFailed()) == error_body(error)


def test_without_a_token_nothing_is_sent_and_the_client_gets_a_neutral_503(monkeypatch):
    async def test(tokens):
        async with Scripted(reply()) as server:
            (error,), record = await dispatched(tokens, server.url)
            return error, server.count, record.attempts

    error, count, attempts = run(test, Issuer(failing=True), monkeypatch)
    assert (503, 0, 1) == (error.status, count, attempts)
    assert b"dentity" not in error_body(error)
