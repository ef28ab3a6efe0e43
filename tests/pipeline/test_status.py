"""What operators see, and nobody else."""

import asyncio
import json

import pytest
from msgspec.structs import replace
from support.assembled import CONFIGURED, Assembled
from support.samples import config, deployment

from gateway.auth.authenticator import Authenticator
from gateway.errors import Unauthorized
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.pipeline.status import Status
from gateway.storage.memory import MemoryStore
from gateway.storage.store import StoreError, StoreFailure

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
KEY = {"authorization": "Bearer the-key"}
WRONG = {"authorization": "Bearer another"}
HEALTHY = {
    "healthy": True,
    "reason": None,
    "failing_since": None,
    "operations": {},
    "failures": {},
    "instances": 1,
}


class Broken(MemoryStore):
    """A store that is down until it is mended."""

    down = True

    async def write(self, row, day):
        if self.down:
            raise StoreError(StoreFailure.DOWN)
        await super().write(row, day)


class Bench:
    def __init__(self, *, key="the-key", store=None, instance="aaaaaa", **fields):
        self.group = (deployment("a", tpm=1000, **fields), deployment("b", rpm=60))
        self.parts = Assembled(
            config(*self.group, master_key=key), None, clock=lambda: NOW, store=store, instance=instance
        )
        self.balancer = self.parts.balancer
        self.authenticator = Authenticator(self.parts.config, None)
        self.configuration = CONFIGURED
        self.status = Status(self.balancer, self.parts.sharing, lambda: self.configuration, None)

    def call(self, outcome, *, tried=("b",), tokens=50):
        choice = self.balancer.choose(self.group, Estimate(tokens, 0), tried, NOW)
        self.balancer.settle(self.balancer.reserve(choice, NOW), outcome, NOW + 0.25)

    def deployments(self, headers=KEY):
        return asyncio.run(self.listing(headers))

    async def listing(self, headers=KEY):
        return json.loads(await self.status.deployments(await self.authenticator.authenticate(headers, NOW)))

    async def ready(self, headers=KEY):
        try:
            principal = await self.authenticator.authenticate(headers, NOW)
        except Unauthorized:
            principal = None
        return json.loads(self.status.readiness(principal))

    def readiness(self, headers=KEY):
        return asyncio.run(self.ready(headers))

    async def write(self):
        shared = self.parts.sharing.call()
        self.call(Outcome(Result.SUCCESS))
        await shared.settled()


def test_each_deployments_use_and_limit_are_listed():
    bench = Bench()
    bench.call(Outcome(Result.SUCCESS, prompt=20, completion=5))

    listing = bench.deployments()
    assert ("list", ["a", "b"], HEALTHY) == (
        listing["object"],
        [each["id"] for each in listing["data"]],
        listing["storage"] | {"operations": {}},
    )
    assert {
        "id": "a",
        "model": "gpt",
        "tpm": 1000,
        "rpm": None,
        "charged_tokens": 50,
        "charged_requests": 1,
        "used_tokens": 25,
        "used_requests": 1,
        "resting_until": None,
        "resting_reason": None,
        "resting_operations": [],
        "last_error": None,
        "latency": 0.25,
        "reset_second": None,
    } == listing["data"][0]


def test_what_others_did_is_looked_up_first():
    async def work():
        store = MemoryStore()
        idle, busy = Bench(store=store), Bench(store=store, instance="bbbbbb")
        await busy.write()
        first, _ = (await idle.listing())["data"]
        return first["charged_requests"]

    assert 1 == asyncio.run(work())


def test_a_rest_is_listed_with_its_end_and_reason_and_the_last_error():
    bench = Bench()
    bench.call(Outcome(Result.LIMITED, retry_after=30.5, kind="tokens", error="429"))

    first, _ = bench.deployments()["data"]
    assert ("2023-11-14T22:13:50.750Z", "tokens", "429") == (
        first["resting_until"],
        first["resting_reason"],
        first["last_error"],
    )


@pytest.mark.parametrize("headers", [{}, WRONG])
def test_the_deployments_are_for_the_master_key_only(headers):
    with pytest.raises(Unauthorized):
        asyncio.run(Bench().deployments(headers))


def test_where_nobody_needs_a_key_nobody_sees_the_deployments():
    bench = Bench(key=None)

    with pytest.raises(Unauthorized):
        asyncio.run(bench.deployments())
    assert {"status": "ok"} == bench.readiness()


@pytest.mark.parametrize("headers", [{}, WRONG])
def test_anybody_may_know_that_the_gateway_is_ready_and_no_more(headers):
    assert {"status": "ok"} == Bench().readiness(headers)


def test_the_master_key_sees_how_the_store_is_doing():
    assert HEALTHY == Bench().readiness()["storage"]


def test_the_master_key_sees_how_the_configuration_is_doing():
    bench = Bench()
    current = {"version": "version-1", "loaded_at": "2023-11-14T22:13:20.000Z"}

    assert current | {"healthy": True, "reason": None} == bench.readiness()["configuration"]
    bench.configuration = replace(CONFIGURED, problems=("a.b: is wrong", "c: is missing"))
    refused = {"healthy": False, "reason": "a.b: is wrong\nc: is missing"}
    assert current | refused == bench.readiness()["configuration"]


def test_a_store_that_fails_is_told_with_its_reason_and_since_when_until_it_is_back():
    async def work():
        store = Broken()
        bench = Bench(store=store)
        await bench.write()
        failing = await bench.ready()
        store.down = False
        await bench.parts.sharing.close()  # writes what is left
        return failing, await bench.ready()

    failing, healed = asyncio.run(work())
    assert ("ok", "ok") == (failing["status"], healed["status"])
    assert {
        "healthy": False,
        "reason": "down",
        "failing_since": "2023-11-14T22:13:20.000Z",
        "operations": {"write": 1},
        "failures": {"down": 1},
        "instances": 1,
    } == failing["storage"]
    assert HEALTHY | {"operations": {"write": 2}, "failures": {"down": 1}} == healed["storage"]
