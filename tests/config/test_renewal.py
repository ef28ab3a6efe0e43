"""A secret whose value upstream refuses is read again, seldom, and may go back and forth."""

from __future__ import annotations

import asyncio

from gateway.config.renewal import PAUSE_FIRST, PAUSE_LONGEST, SecretRenewal
from gateway.config.vault import Secret, SecretMissing


class Vault:
    def __init__(self, value):
        self.value = value
        self.reads = 0

    async def read(self, name):
        self.reads += 1
        if self.value is None:
            raise SecretMissing
        return Secret(self.value, str(self.reads))


class Bench:
    def __init__(self, value):
        self.vault = Vault(value)
        self.now = 1000.0
        self.changes = 0
        self.renewal = SecretRenewal(self.vault, self.change, clock=lambda: self.now)

    def change(self):
        self.changes += 1

    def refused(self, value, times=1):
        async def work():
            return await asyncio.gather(*(self.renewal.renewed("KEY", value) for _ in range(times)))

        self.now += PAUSE_FIRST
        return set(asyncio.run(work()))


def test_sixty_refusals_at_once_cost_one_read():
    bench = Bench("new")
    assert ({"new"}, 1, 1) == (bench.refused("old", 60), bench.vault.reads, bench.changes)
    assert ({"new"}, 1) == (bench.refused("old", 60), bench.vault.reads)


def test_a_value_that_stays_wrong_is_read_less_and_less():
    bench = Bench("old")
    for _ in range(600):
        assert {None} == bench.refused("old")
    assert 600 * PAUSE_FIRST / PAUSE_LONGEST <= bench.vault.reads < 20


def test_a_secret_that_is_gone_or_that_no_header_may_carry_is_no_successor():
    assert {None} == Bench(None).refused("old")
    assert {None} == Bench("two words").refused("old")


def test_a_secret_may_go_back_to_an_earlier_value_and_on_again():
    bench = Bench("two")
    assert {"two"} == bench.refused("one")
    # The operator takes the first back, and a refresh finds it.
    bench.renewal.settle([("KEY", "one"), ("OTHER", "x")])
    bench.vault.value = "three"
    assert {"three"} == bench.refused("one")
    assert {"three"} == bench.refused("two")
