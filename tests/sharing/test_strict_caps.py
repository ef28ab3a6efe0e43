"""Strict caps: exact over all instances, whatever they do at once; on both stores."""

from __future__ import annotations

import asyncio
import json
import random
import uuid

import pytest
from support import virtual_time
from support.calls import PATIENCE
from support.instances import run_to_its_end

from gateway.limits.caps.strict_row import StrictNeed
from gateway.limits.tokens.signals import Wait
from gateway.sharing import strict_caps as reservations
from gateway.sharing.strict_caps import CONTENDED_RETRY, RESERVE_SECONDS, Grant, StrictCaps
from gateway.storage.guarded import GuardedStore
from gateway.storage.memory import MemoryStore
from gateway.storage.store import StoreError, StoreFailure
from simulator.ports import closed_port


def _need(key: str, rpm: int | None = 20, tpm: int | None = None, tokens: int = 10) -> StrictNeed:
    return StrictNeed(key, rpm, tpm, tokens)


def _reservations(store, *, fails_open: bool = True, clock=virtual_time.clock) -> StrictCaps:
    caps = StrictCaps(GuardedStore(store, clock), random.Random(1).random, prefix="c")
    caps.fails_open = fails_open
    return caps


@pytest.fixture(autouse=True)
def _patience(request, monkeypatch):
    """On the real store, for tests of who gets a place; how long one waits for it is tested in virtual time."""
    if "run" in request.fixturenames:
        monkeypatch.setattr(reservations, "RESERVE_SECONDS", PATIENCE)
        monkeypatch.setattr(reservations, "CONTENDED_SECONDS", PATIENCE)
        monkeypatch.setattr("gateway.storage.guarded.OPERATION_SECONDS", PATIENCE)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def _granted(answers) -> int:
    return sum(isinstance(answer, Grant) and bool(answer.places) for answer in answers)


@pytest.mark.parametrize("instances", [2, 10])
def test_of_80_calls_at_once_over_several_instances_exactly_20_pass(run, key, instances):
    async def check(open_store):
        all_ = [_reservations(open_store()) for _ in range(instances)]
        # The first operation connects; what is measured is the meeting at the row.
        await asyncio.gather(*(each._storage.load(key) for each in all_))
        return await asyncio.gather(*(all_[turn % instances].reserve([_need(key)]) for turn in range(80)))

    answers = run(check)
    assert 20 == _granted(answers)
    assert 60 == sum(isinstance(answer, Wait) for answer in answers)


def test_calls_that_wait_together_are_reserved_in_one_operation(run, key):
    async def check(open_store):
        one = _reservations(open_store())
        await asyncio.gather(*(one.reserve([_need(key, rpm=100)]) for _ in range(50)))
        return one._storage.operations

    assert {"load": 1, "swap": 1} == dict(run(check))


def test_who_was_alone_at_the_row_needs_one_operation_for_the_next_call(run, key):
    async def check(open_store):
        one = _reservations(open_store())
        await one.reserve([_need(key)])
        before = one._storage.operations.total()
        await one.reserve([_need(key)])
        return one._storage.operations.total() - before

    assert 1 == run(check)


def test_a_refusal_names_the_time_when_there_is_room(run, key):
    async def check(open_store):
        one = _reservations(open_store())
        await one.reserve([_need(key, rpm=1)])
        return await one.reserve([_need(key, rpm=1)])

    answer = run(check)
    assert isinstance(answer, Wait)
    assert 30 < answer.seconds <= 60.01


def test_a_call_that_one_of_its_caps_refuses_leaves_nothing_in_the_others(run, key):
    async def check(open_store):
        one = _reservations(open_store())
        await one.reserve([_need(key + "b", rpm=1)])
        refused = await one.reserve([_need(key + "a", rpm=1), _need(key + "b", rpm=1)])
        return refused, await one.reserve([_need(key + "a", rpm=1)])

    refused, then = run(check)
    assert isinstance(refused, Wait)
    assert isinstance(then, Grant)


def test_tokens_that_were_not_used_are_given_back_to_all(run, key):
    async def check(open_store):
        one, other = _reservations(open_store()), _reservations(open_store())
        need = _need(key, rpm=None, tpm=100, tokens=100)
        grant = await one.reserve([need])
        before = await other.reserve([_need(key, rpm=None, tpm=100, tokens=50)])
        one.settle(grant, [(need, -60)])
        assert one.dirty
        await one.flush()
        assert not one.dirty
        return before, await other.reserve([_need(key, rpm=None, tpm=100, tokens=50)])

    before, after = run(check)
    assert (Wait, Grant) == (type(before), type(after))


def test_nobody_is_refused_because_of_a_place_that_another_instance_gave_back(run, key):
    async def check(open_store):
        one, other = _reservations(open_store()), _reservations(open_store())
        grant = await other.reserve([_need(key, rpm=2)])
        await one.reserve([_need(key, rpm=2)])
        other.release(grant)
        await other.flush()
        return await one.reserve([_need(key, rpm=2)])

    assert isinstance(run(check), Grant)


def test_a_call_whose_client_left_while_it_waited_holds_no_place(run, key):
    async def check(open_store):
        one = _reservations(open_store())
        await one._storage.load(key)
        leaving = asyncio.create_task(one.reserve([_need(key, rpm=1)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        return await one.reserve([_need(key, rpm=1)])

    assert isinstance(run(check), Grant)


class _Hanging(MemoryStore):
    async def load(self, name):
        await asyncio.sleep(60)


class _Failing(MemoryStore):
    async def load(self, name):
        raise StoreError(StoreFailure.BUSY)


@pytest.mark.parametrize(("store", "longest"), [(_Hanging, RESERVE_SECONDS + 0.2), (_Failing, 0.2)])
@pytest.mark.parametrize(("fails_open", "expected"), [(True, Grant), (False, Wait)])
def test_without_an_answer_of_the_store_a_cap_fails_as_configured(store, longest, fails_open, expected, key):
    async def check():
        one = _reservations(store(), fails_open=fails_open)
        started = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(one.reserve([_need(key)]) for _ in range(10)))
        took = asyncio.get_running_loop().time() - started
        await one.close()
        return answers, took

    answers, took = run_to_its_end(check(), virtual_time.run)
    assert {expected} == {type(answer) for answer in answers}
    assert took < longest


@pytest.mark.system
def test_while_the_store_is_known_to_be_down_nobody_waits(tables_at, key):
    async def check():
        one = _reservations(tables_at(closed_port()))
        for _ in range(3):
            await one.reserve([_need(key)])
        before = one._storage.operations.total()
        async with asyncio.timeout(PATIENCE):
            await one.reserve([_need(key)])
        asked = one._storage.operations.total() - before
        await one.close()
        await one._storage.close()
        return asked

    assert 0 == run_to_its_end(check())


def test_a_reply_that_was_lost_lets_no_call_too_many_pass(proxy, tables_at, key):
    async def check():
        one = _reservations(tables_at(proxy.port))
        await one._storage.load(key)
        proxy.cut_after = True
        proxy.concerns = lambda method, _path: method in {"POST", "PUT"}
        first = await one.reserve([_need(key)])
        proxy.heal()
        answers = await asyncio.gather(*(one.reserve([_need(key)]) for _ in range(30)))
        await one.close()
        await one._storage.close()
        return first, answers

    first, answers = run_to_its_end(check())
    assert isinstance(first, Grant)
    assert 19 == _granted(answers)


class _Distant(MemoryStore):
    """A store at which every operation takes 30 ms, half of them on the way there."""

    async def load(self, name):
        await asyncio.sleep(0.015)
        cell = await super().load(name)
        await asyncio.sleep(0.015)
        return cell

    async def swap(self, name, text, version):
        await asyncio.sleep(0.015)
        swapped = await super().swap(name, text, version)
        await asyncio.sleep(0.015)
        return swapped


def test_of_50_instances_that_meet_at_a_distant_row_no_more_pass_than_the_cap_allows(key):
    async def check():
        store = _Distant()
        crowd = [
            StrictCaps(GuardedStore(store, virtual_time.clock), random.Random(number).random, prefix="c")
            for number in range(50)
        ]
        return await asyncio.gather(*(each.reserve([_need(key, rpm=40)]) for each in crowd))

    answers = run_to_its_end(check(), virtual_time.run)
    assert 40 == _granted(answers)
    assert 10 == sum(isinstance(answer, Wait) for answer in answers)


class _Busy(MemoryStore):
    """A store that answers, but others are always faster."""

    async def swap(self, name, text, version):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("fails_open", [True, False])
def test_a_row_that_is_too_busy_refuses_for_a_second(fails_open, key, monkeypatch):
    monkeypatch.setattr(reservations, "RESERVE_SECONDS", 0.2)
    monkeypatch.setattr(reservations, "CONTENDED_SECONDS", 0.5)

    async def check():
        one = _reservations(_Busy(), fails_open=fails_open)
        started = asyncio.get_running_loop().time()
        answer = await one.reserve([_need(key)])
        return answer, asyncio.get_running_loop().time() - started

    answer, took = run_to_its_end(check(), virtual_time.run)
    assert Wait(CONTENDED_RETRY) == answer
    assert 0.5 <= took < 0.7


class _Lossy(MemoryStore):
    """A store that can do what it is told and lose the reply."""

    losing = False

    async def swap(self, name, text, version):
        swapped = await super().swap(name, text, version)
        if self.losing:
            raise StoreError(StoreFailure.SLOW)
        return swapped


@pytest.mark.parametrize("change", ["settled to less", "settled to more", "given back"])
def test_a_correction_whose_reply_was_lost_makes_no_room_that_is_not_there(key, change):
    store = _Lossy()

    async def check():
        # Both calls are in one tick: what is given back twice is taken from the other.
        one = _reservations(store, clock=lambda: 1_700_000_000.0)
        need = _need(key, tpm=200, tokens=50)
        grant, _ = await asyncio.gather(one.reserve([need]), one.reserve([need]))
        if change == "given back":
            one.release(grant)
        else:
            one.settle(grant, [(need, -30 if change == "settled to less" else 30)])
        store.losing = True
        await one.flush()
        store.losing = False
        await one.flush()
        cell = await store.load("c" + key)
        return json.loads(cell.text)[2:]

    tokens, requests = virtual_time.run(check())
    # What adds may be counted twice.
    assert {
        "settled to less": (70, 2),
        "settled to more": (160, 2),
        "given back": (50, 1),
    }[change] == (tokens, requests)


class _Unreadable(MemoryStore):
    """A store that cannot be read for a while."""

    failing = False

    async def load(self, name):
        if self.failing:
            raise StoreError(StoreFailure.BUSY)
        return await super().load(name)


def test_a_correction_that_was_certainly_not_written_is_kept(key):
    async def check():
        store = _Unreadable()
        one, other = _reservations(store), _reservations(store)
        need = _need(key, rpm=None, tpm=100, tokens=100)
        grant = await one.reserve([need])
        # Its next change comes too late, and must read what there is.
        await other.reserve([_need(key, tokens=0)])
        one.settle(grant, [(need, -60)])
        store.failing = True
        await one.flush()
        store.failing = False
        before = one.dirty
        await one.flush()
        return before, await other.reserve([_need(key, rpm=None, tpm=100, tokens=60)])

    before, answer = run_to_its_end(check(), virtual_time.run)
    assert before
    assert isinstance(answer, Grant)


def test_a_client_that_comes_a_moment_too_early_is_not_refused_again(key):
    async def check():
        ahead = 0.0
        one = _reservations(MemoryStore(), clock=lambda: virtual_time.clock() + ahead)
        await one.reserve([_need(key, rpm=1)])
        granted = virtual_time.clock()
        ahead = granted + 59.95 - virtual_time.clock()
        return await one.reserve([_need(key, rpm=1)])

    assert isinstance(run_to_its_end(check(), virtual_time.run), Grant)
