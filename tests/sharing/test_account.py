"""What one call owes, and that it is paid once: to the deployment, to the client's caps, to the store."""

import asyncio
import contextlib

import pytest
from support import virtual_time
from support.samples import call, config, deployment

from gateway.auth.principal import Principal
from gateway.config.access import ClientLimits, Limit
from gateway.errors import RateLimited, TokenRateLimited
from gateway.limits.balancing.balancer import Balancer
from gateway.limits.tokens.estimate import Estimate
from gateway.limits.tokens.outcome import Outcome, Result
from gateway.limits.tokens.signals import RateLimits
from gateway.sharing.account import Account, limited
from gateway.sharing.replication import Replication
from gateway.storage.memory import MemoryStore

NOW = 1_700_000_000.0
USED = Outcome(Result.SUCCESS, prompt=30, completion=12)


class SlowStore(MemoryStore):
    """A store that lets go of a load only when it is told to."""

    def __init__(self):
        super().__init__()
        self.open = asyncio.Event()

    async def load(self, name):
        await self.open.wait()
        return await super().load(name)


class LateStore(MemoryStore):
    """A store that takes its time to read."""

    async def read(self, partition, first, day):
        await asyncio.sleep(0.02)
        return await super().read(partition, first, day)


class SilentStore(MemoryStore):
    """A store that does not answer; it counts what it is asked."""

    asked = 0

    async def load(self, name):
        self.asked += 1
        await asyncio.sleep(60)


class Instance:
    """One instance's balancer and share in a store, with accounts of its calls."""

    def __init__(self, *, limits=None, store=None, name="aaaaaa", fails_open=True, **member):
        capped = self.capped = bool(member or limits)
        self.group = (deployment(**member),)
        self.config = config(*self.group, client_limits=limits, capped=capped)
        self.balancer = Balancer(self.config, name, lambda: 0.5)
        self.now = NOW
        self.sharing = Replication(
            self.balancer, store or MemoryStore(), clock=lambda: self.now, random=lambda: 0.5
        )
        self.sharing.reservations.fails_open = fails_open

    async def opened(self, **body):
        """An account that is admitted."""
        account = Account(self.balancer, self.sharing, operation="chat", capped=self.capped)
        # The tests close it, or leave a call in flight.
        await account.__aenter__()
        if self.config.client_limits is not None:
            await account.admit(Principal("master"), call(**body), self.config.client_limits)
        return account

    async def reserved(self, account, tokens=50):
        """Reserve a try; what `Account.reserve` says."""
        return await account.reserve(self.balancer.choose(self.group, Estimate(tokens, 0), (), NOW))

    @property
    def charged(self):
        (state,) = self.balancer.state(self.now)
        return state.charged_tokens, state.charged_requests

    @property
    def used(self):
        (state,) = self.balancer.state(NOW)
        return state.used_tokens, state.used_requests

    @property
    def left(self):
        """What the client has left: requests and tokens."""
        limits = self.config.client_limits
        found = self.balancer.client_remaining("master", "gpt", limits, NOW)
        return found.requests_left, found.tokens_left


def run(work, **options):
    async def inside():
        instance = Instance(**options)
        try:
            return await work(instance)
        finally:
            await instance.sharing.close()

    return virtual_time.run(inside())


def test_a_reserved_try_is_charged_and_its_use_recorded_when_the_call_ends():
    async def work(instance):
        account = await instance.opened()
        assert await instance.reserved(account) is None
        during = instance.charged, instance.used
        await account.close(USED)
        return during, instance.charged, instance.used

    assert (((50, 1), (0, 0)), (50, 1), (42, 1)) == run(work)


def test_a_second_end_changes_nothing():
    async def work(instance):
        account = await instance.opened()
        await instance.reserved(account)
        await account.close(USED)
        await account.close(Outcome(Result.SUCCESS, prompt=1000))
        return instance.used, instance.left

    assert ((42, 1), (9, 958)) == run(work, limits=ClientLimits(Limit(rpm=10, tpm=1000)))


def test_a_call_counts_as_in_flight_within_its_context_only():
    async def work(instance):
        account = Account(instance.balancer, instance.sharing, operation="chat", capped=False)
        before = instance.sharing._in_flight
        with contextlib.suppress(KeyError):
            async with account:
                during = instance.sharing._in_flight
                raise KeyError
        return before, during, instance.sharing._in_flight

    assert (0, 1, 0) == run(work)


def test_a_call_that_breaks_off_within_its_context_is_settled_as_aborted():
    async def work(instance):
        with contextlib.suppress(KeyError):
            async with Account(instance.balancer, instance.sharing, operation="chat", capped=True) as account:
                await instance.reserved(account)
                raise KeyError
        return instance.used

    assert (50, 1) == run(work, tpm=1000)


def test_a_call_that_was_handed_over_is_left_open():
    async def work(instance):
        async with Account(instance.balancer, instance.sharing, operation="chat", capped=False) as account:
            await instance.reserved(account)
            kept = account.handed_over()
        during = instance.sharing._in_flight, instance.used
        await kept.close(USED)
        return during, instance.sharing._in_flight, instance.used

    assert ((1, (0, 0)), 0, (42, 1)) == run(work)


def test_what_a_refused_try_was_charged_is_given_back():
    async def work(instance):
        account = await instance.opened()
        await instance.reserved(account)
        account.failed(Outcome(Result.LIMITED, retry_after=5.0))
        return instance.charged

    assert (0, 0) == run(work)


def test_the_head_of_an_answer_teaches_limits_before_its_end():
    async def work(instance):
        account = await instance.opened()
        await instance.reserved(account)
        account.answered(RateLimits(tokens=9000, tokens_left=8000))
        return instance.balancer.state(NOW)[0].tpm

    assert 9000 == run(work)


def test_an_answer_without_a_reservation_is_nobodys():
    async def work(instance):
        account = await instance.opened()
        account.answered(RateLimits(tokens=9000))
        account.settle(USED)
        return instance.balancer.state(NOW)[0].tpm, instance.used

    assert (None, (0, 0)) == run(work)


CAP = ClientLimits(Limit(rpm=2, tpm=1000))


@pytest.mark.parametrize(
    ("outcome", "tokens_left"),
    [
        (USED, 958),
        (Outcome(Result.FAILED), 1000),
        (Outcome(Result.CALLER), 1000),
        (Outcome(Result.TIMEOUT), 700),
        (Outcome(Result.ABORTED), 700),
    ],
    ids=lambda value: value.result.name if isinstance(value, Outcome) else "",
)
def test_a_clients_cap_settles_to_what_a_call_used(outcome, tokens_left):
    async def work(instance):
        # As in the estimate for caps, of which the bound of the answer is the whole here.
        account = await instance.opened(max_tokens=300)
        await instance.reserved(account)
        await account.close(outcome)
        return instance.left

    assert (1, tokens_left) == run(work, limits=CAP)


@pytest.mark.parametrize("limits", [CAP, ClientLimits(Limit(rpm=2, tpm=1000, strict=True))])
def test_a_call_that_no_deployment_was_sent_takes_nothing_of_its_clients_caps(limits):
    async def work(instance):
        for _ in range(5):
            account = await instance.opened(max_tokens=300)
            await account.close(Outcome(Result.FAILED))
        return instance.left

    assert (2, 1000) == run(work, limits=limits)


@pytest.mark.parametrize(
    ("limits", "kind", "wait"),
    [
        (Limit(rpm=1), RateLimited, 60),
        (Limit(tpm=300), TokenRateLimited, 60),
        (Limit(rpm=1, strict=True), RateLimited, 60),
        (Limit(tpm=300, strict=True), TokenRateLimited, 60),
    ],
)
def test_a_full_cap_refuses_with_the_time_until_it_has_room(limits, kind, wait):
    async def work(instance):
        first = await instance.opened(max_tokens=300)
        await instance.reserved(first)
        with pytest.raises(RateLimited) as caught:
            await instance.opened(max_tokens=300)
        return type(caught.value), caught.value.retry_after

    assert (kind, wait) == run(work, limits=ClientLimits(limits))


def test_a_strict_cap_of_another_instance_refuses_and_takes_nothing():
    store = MemoryStore()

    async def work(instance):
        # Its view is fresh, and does not show what the other does now.
        async with Account(instance.balancer, instance.sharing, operation="chat", capped=True) as account:
            await account.refreshed()
        other = Instance(limits=instance.config.client_limits, store=store, name="bbbbbb")
        first = await other.opened()
        await other.reserved(first)
        with pytest.raises(RateLimited) as caught:
            await instance.opened()
        await other.sharing.close()
        return caught.value.retry_after, instance.left[0]

    assert (60, 1) == run(work, limits=ClientLimits(Limit(rpm=1, strict=True)), store=store)


def test_a_deployments_strict_cap_that_is_full_takes_nothing_and_says_when_it_has_room():
    store = MemoryStore()

    async def work(instance):
        other = Instance(store=store, rpm=1, strict=True, name="bbbbbb")
        await other.reserved(await other.opened())
        account = await instance.opened()
        wait = await instance.reserved(account)
        await other.sharing.close()
        return wait, instance.charged, instance.used

    wait, charged, used = run(work, store=store, rpm=1, strict=True)
    assert ((0, 0), (0, 0)) == (charged, used)
    assert (60, "requests") == (pytest.approx(wait.seconds, abs=1), wait.kind)


def test_a_caller_that_leaves_while_its_clients_place_is_reserved_takes_nothing():
    async def work(instance):
        opening = asyncio.create_task(instance.opened(max_tokens=300))
        await asyncio.sleep(0.01)
        during = instance.left
        opening.cancel()
        await asyncio.wait({opening})
        return opening.cancelled(), during, instance.left

    async def inside():
        instance = Instance(limits=ClientLimits(Limit(rpm=2, tpm=1000, strict=True)), store=SlowStore())
        return await work(instance)

    assert (True, (1, 700), (2, 1000)) == virtual_time.run(inside())


def test_a_caller_that_leaves_while_a_deployments_place_is_reserved_takes_nothing():
    async def inside():
        instance = Instance(store=SlowStore(), rpm=2, strict=True)
        account = await instance.opened()
        reserving = asyncio.create_task(instance.reserved(account))
        await asyncio.sleep(0.01)
        during = instance.charged, instance.used
        reserving.cancel()
        await asyncio.wait({reserving})
        return reserving.cancelled(), during, (instance.charged, instance.used)

    assert (True, ((50, 1), (50, 1)), ((0, 0), (0, 0))) == virtual_time.run(inside())


def test_a_failure_is_told_to_the_others_while_another_call_is_in_flight():
    async def inside():
        instance = Instance(store=(store := MemoryStore()))
        stays = await instance.opened()
        await instance.reserved(stays)
        await asyncio.sleep(0.01)
        fails = await instance.opened()
        await instance.reserved(fails)
        # What is scheduled at the dispatch is over before the failure.
        await asyncio.sleep(0.35)
        fails.failed(Outcome(Result.LIMITED, retry_after=5.0))
        await fails.close(Outcome(Result.FAILED))
        await asyncio.sleep(0.35)
        other = Instance(store=store, name="bbbbbb")
        await (await other.opened()).refreshed()
        return other.balancer.state(NOW)[0].resting_until

    assert NOW + 5 == virtual_time.run(inside())


def test_calls_at_once_over_two_instances_pass_a_clients_cap_no_further_than_it_goes():
    async def inside():
        store, limits = LateStore(), ClientLimits(Limit(rpm=20))
        crowd = [Instance(store=store, limits=limits, name=name) for name in ("aaaaaa", "bbbbbb")]

        async def admitted(number):
            instance = crowd[number % 2]
            try:
                account = await instance.opened()
            except RateLimited:
                return False
            await instance.reserved(account)
            await asyncio.sleep(0.2)
            await account.close(USED)
            return True

        return sum(await asyncio.gather(*map(admitted, range(80))))

    # Ten each before they have heard of each other; both then see that the cap is full.
    assert 20 == virtual_time.run(inside())


@pytest.mark.parametrize(("member", "seen"), [({}, 0), ({"rpm": 9}, 1)], ids=["quotas", "caps"])
def test_where_caps_decide_a_call_waits_for_a_view_that_is_older_than_a_second(member, seen):
    async def inside():
        store = LateStore()
        instance, other = Instance(store=store, **member), Instance(store=store, name="bbbbbb", **member)
        await (await instance.opened()).refreshed()
        sent = await other.opened()
        await other.reserved(sent)
        await sent.close(USED)
        instance.now += 1.3
        await (await instance.opened()).refreshed()
        return instance.charged[1]

    assert seen == virtual_time.run(inside())


@pytest.mark.parametrize(
    ("wait", "seconds", "words"), [(None, 1, "1 second."), (0.2, 1, "1 second."), (6.1, 7, "7 seconds.")]
)
def test_a_limits_error_names_the_model_and_a_whole_number_of_seconds(wait, seconds, words):
    error = limited("gpt", wait)

    assert (RateLimited, seconds, True) == (type(error), error.retry_after, error.retryable)
    assert f"Rate limit reached for the model `gpt`. Please try again in {words}" == error.message


def test_a_limit_of_tokens_and_a_request_that_waiting_does_not_help_are_told_apart():
    assert TokenRateLimited is type(limited("gpt", 1.0, "tokens"))
    assert ("x-should-retry", "false") in limited("gpt", 1.0, retryable=False).headers()


STRICT = ClientLimits(Limit(rpm=2, strict=True))


@pytest.mark.parametrize("client", [True, False], ids=["of client and deployment", "of one deployment"])
def test_a_call_waits_once_for_a_store_that_does_not_answer(client, monkeypatch):
    monkeypatch.setattr("gateway.sharing.strict_caps.RESERVE_SECONDS", 0.1)
    store = SilentStore()

    async def work(instance):
        account = await instance.opened()
        for _ in range(3):
            assert await instance.reserved(account) is None
            account.failed(Outcome(Result.CALLER))
        return store.asked

    assert 1 == run(work, store=store, limits=STRICT if client else None, rpm=20, strict=True)


def test_a_call_that_caps_refuse_for_want_of_an_answer_waits_once_too(monkeypatch):
    monkeypatch.setattr("gateway.sharing.strict_caps.RESERVE_SECONDS", 0.1)
    store = SilentStore()

    async def work(instance):
        account = await instance.opened()
        return [(await instance.reserved(account)).seconds for _ in range(3)], store.asked

    assert ([5, 5, 5], 1) == run(work, store=store, rpm=20, strict=True, fails_open=False)


@pytest.mark.parametrize(
    "options", [{"limits": STRICT}, {"rpm": 2, "strict": True}], ids=["client", "deployment"]
)
def test_a_strict_cap_lets_go_of_a_call_a_minute_after_its_row_counted_it(options):
    async def inside():
        store = SlowStore()
        instance = Instance(store=store, **options)
        opening = asyncio.create_task(instance.opened())
        reserving = asyncio.create_task(_reserved(instance, opening))
        await asyncio.sleep(0.01)
        instance.now += 0.5
        store.open.set()
        await reserving
        used = [_left(instance, NOW + after) for after in (60.4, 60.5)]
        await instance.sharing.close()
        return used

    assert [1, 2] == virtual_time.run(inside())


async def _reserved(instance, opening):
    await instance.reserved(await opening)


def _left(instance, now):
    """Requests left of the one cap there is."""
    limits = instance.config.client_limits
    if limits is not None:
        return instance.balancer.client_remaining("master", "gpt", limits, now).requests_left
    return instance.balancer.remaining(instance.group, now).requests_left


def test_who_comes_as_told_while_the_place_was_still_being_reserved_gets_in():
    async def inside():
        store = SlowStore()
        limits = ClientLimits(Limit(rpm=1, strict=True))
        instance = Instance(limits=limits, store=store)
        first = asyncio.create_task(instance.opened())
        await asyncio.sleep(0.01)
        with pytest.raises(RateLimited) as caught:
            await instance.opened()
        told = caught.value.retry_after
        instance.now += 0.05
        store.open.set()
        await instance.reserved(await first)
        instance.now = NOW + told
        asyncio.get_running_loop().call_later(0.03, setattr, instance, "now", NOW + told + 0.06)
        await instance.opened()
        await instance.sharing.close()

    virtual_time.run(inside())
