"""Strict caps: exact over all instances, whatever they do at once; on both stores."""

from __future__ import annotations

import asyncio
import random
import time
import uuid

import pytest
from instances import run_to_its_end
from support.azurite import free_port

from gateway.limits.store import MemoryStore, Reason, StoreError
from gateway.limits.strict import StrictNeed, Wait
from gateway.reservations import RESERVE_SECONDS, Grant, Reservations
from gateway.storage import Storage


def _need(key: str, rpm: int | None = 20, tpm: int | None = None, tokens: int = 10) -> StrictNeed:
    return StrictNeed(key, rpm, tpm, tokens)


def _reservations(store, *, fails_open: bool = True, clock=time.time) -> Reservations:
    return Reservations(Storage(store, clock), random.Random(1).random, prefix="c", fails_open=fails_open)


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
    assert 58 < answer.seconds <= 61


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
        raise StoreError(Reason.BUSY)


@pytest.mark.parametrize(("store", "longest"), [(_Hanging, RESERVE_SECONDS + 0.2), (_Failing, 0.2)])
@pytest.mark.parametrize(("fails_open", "expected"), [(True, Grant), (False, Wait)])
def test_without_an_answer_of_the_store_a_cap_fails_as_configured(store, longest, fails_open, expected, key):
    async def check():
        one = _reservations(store(), fails_open=fails_open)
        started = time.monotonic()
        answers = await asyncio.gather(*(one.reserve([_need(key)]) for _ in range(10)))
        took = time.monotonic() - started
        await one.close()
        return answers, took

    answers, took = run_to_its_end(check())
    assert {expected} == {type(answer) for answer in answers}
    assert took < longest


def test_while_the_store_is_known_to_be_down_nobody_waits(tables_at, key):
    async def check():
        one = _reservations(tables_at(free_port()))
        for _ in range(3):
            await one.reserve([_need(key)])
        started = time.monotonic()
        await one.reserve([_need(key)])
        took = time.monotonic() - started
        await one.close()
        await one._storage.close()
        return took

    assert run_to_its_end(check()) < 0.01


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
