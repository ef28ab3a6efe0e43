"""When a source is looked at, and what becomes of what it yields; time is an argument."""

import asyncio
import logging
import threading

import pytest

from gateway.config.deployment import Config
from gateway.config.merge import Part
from gateway.config.problems import ConfigError
from gateway.config.reload import RETRY_SECONDS, Reloader
from gateway.config.sources import Document

NOW = 1_700_000_000.0


class Bench:
    """A reloader whose source, clock and loading are the test's."""

    def __init__(self, *texts, every=0.0):
        self.texts = list(texts)
        self.now = NOW
        self.used = []
        self.reads = 0
        self.loads = []
        self.gate = None
        self.reloader = Reloader(self, self.load, self.use, every=every, clock=lambda: self.now)

    async def read(self):
        """The source: each text in its turn, the last one for ever. An exception is raised."""
        self.reads += 1
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(text, Exception):
            raise text
        return Document((Part("", text),), f"version of {text}")

    def load(self, document):
        self.loads.append((document.text, threading.current_thread()))
        if document.text.startswith("bad"):
            raise ConfigError([f"{document.text}: is wrong", "and more"])
        if document.text == "defect":
            raise RecursionError
        return Config(models={}, warnings=("a: has no effect",) if document.text == "warns" else ())

    async def use(self, config):
        self.used.append((self.loads[-1][0], threading.current_thread()))

    @property
    def in_use(self):
        return [text for text, _ in self.used]

    def begin(self, text):
        """A host began with this text."""
        self.reloader.began_with(Document((Part("", text),), f"version of {text}"), Config(models={}))

    async def looks(self, count=1):
        """The state after so many looks."""
        for _ in range(count):
            await self.reloader.look()
        await self.reloader.close()
        return self.reloader.state


def lines(caplog):
    return [record.getMessage().removeprefix("configuration: ") for record in caplog.records]


def test_a_new_version_is_used_and_the_same_one_not_again():
    bench = Bench("a", "a", "b", "b", "a")
    state = asyncio.run(bench.looks(5))
    assert ["a", "b", "a"] == bench.in_use
    assert ("version of a", NOW, ()) == (state.version, state.loaded_at, tuple(state.problems))


def test_loading_happens_in_a_thread_and_its_result_is_used_on_the_loop():
    bench = Bench("a")
    asyncio.run(bench.looks())
    main = threading.main_thread()
    assert (False, True) == (bench.loads[0][1] is main, bench.used[0][1] is main)


def test_an_invalid_version_is_told_once_and_the_one_before_stays(caplog):
    bench = Bench("a", "bad", "bad", "bad")
    state = asyncio.run(bench.looks(4))
    assert (["a"], 2) == (bench.in_use, len(bench.loads))
    assert ("version of a", ["bad: is wrong", "and more"]) == (state.version, state.problems)
    assert [
        "bad: is wrong",
        "and more",
        "the new version is refused, and version version of a stays in use",
    ] == lines(caplog)


def test_another_invalid_version_is_told_too(caplog):
    bench = Bench("a", "bad 1", "bad 2")
    asyncio.run(bench.looks(3))
    assert ["bad 1: is wrong", "bad 2: is wrong"] == [line for line in lines(caplog) if "bad" in line]


@pytest.mark.parametrize("last", ["a", "b"])
def test_a_source_that_is_mended_is_healthy_again(last, caplog):
    bench = Bench("a", "bad", last)
    state = asyncio.run(bench.looks(3))
    assert (f"version of {last}", ()) == (state.version, tuple(state.problems))
    assert last == bench.in_use[-1]


def test_a_source_that_cannot_be_read_changes_nothing_and_is_told_once(caplog):
    gone = ConfigError(["document: the file cannot be read"])
    bench = Bench("a", gone, gone, gone)
    state = asyncio.run(bench.looks(3))
    assert (["a"], "version of a") == (bench.in_use, state.version)
    assert gone.problems == state.problems
    assert 1 == lines(caplog).count("document: the file cannot be read")


def test_a_defect_in_loading_ends_nothing(caplog):
    bench = Bench("a", "defect", "b")
    assert ["document: cannot be loaded (RecursionError)"] == asyncio.run(bench.looks(2)).problems
    asyncio.run(bench.looks())
    assert ["a", "b"] == bench.in_use


def test_warnings_are_logged(caplog):
    asyncio.run(Bench("warns").looks())
    assert ["a: has no effect"] == lines(caplog)


def test_a_first_load_that_failed_is_tried_again_after_some_seconds_and_not_once_a_request(caplog):
    caplog.set_level(logging.INFO)

    async def work():
        bench = Bench("bad", "bad", "a")
        for _ in range(100):
            bench.reloader.look_if_due()
            await bench.reloader.first_look()
        first = bench.reads
        bench.now += RETRY_SECONDS - 0.1
        bench.reloader.look_if_due()
        before = bench.reads
        for _ in range(2):
            bench.now += RETRY_SECONDS + 0.1
            bench.reloader.look_if_due()
            while bench.reloader._looking is not None:
                await asyncio.sleep(0)
        await bench.reloader.close()
        return first, before, bench.in_use, bench.reloader.state.version

    assert (1, 1, ["a"], "version of a") == asyncio.run(work())
    assert 1 == lines(caplog).count("bad: is wrong")
    assert "version version of a is used from now on" == lines(caplog)[-1]


def test_requests_wait_for_the_first_look_alone():
    async def work():
        bench = Bench("bad", "a")
        bench.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(bench.reloader.first_look()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        waiting[0].cancel()
        bench.gate.set()
        await asyncio.wait(waiting)
        bench.gate.clear()
        bench.now += RETRY_SECONDS + 1
        bench.reloader.look_if_due()
        await bench.reloader.first_look()
        await asyncio.sleep(0)
        hanging = bench.reloader._looking is not None
        await bench.reloader.close()
        return bench.reads, hanging

    assert (2, True) == asyncio.run(work())


def test_a_worker_that_was_frozen_looks_at_its_next_request():
    async def work():
        bench = Bench("a", "b", every=60.0)
        await bench.reloader.first_look()
        bench.now += 59.0
        bench.reloader.look_if_due()
        early = bench.reloader._looking
        bench.now += 3600.0
        bench.reloader.look_if_due()
        await asyncio.wait({bench.reloader._looking})
        await bench.reloader.close()
        return early, bench.in_use

    assert (None, ["a", "b"]) == asyncio.run(work())


def test_a_clock_that_is_set_back_does_not_stop_the_looks():
    async def work():
        bench = Bench("a", "b", every=60.0)
        await bench.reloader.first_look()
        bench.now -= 86_400.0
        bench.reloader.look_if_due()
        await asyncio.wait({bench.reloader._looking})
        await bench.reloader.close()
        return bench.in_use

    assert ["a", "b"] == asyncio.run(work())


def test_the_timer_looks_without_a_request():
    async def work():
        bench = Bench("a", "b", "c", every=0.01)
        bench.begin("a")
        bench.reloader.watch()
        while "c" not in bench.in_use:
            await asyncio.sleep(0.005)
        await bench.reloader.close()
        return bench.in_use

    assert ["b", "c"] == asyncio.run(asyncio.wait_for(work(), 30))


def test_without_an_interval_only_who_asks_is_looked_for():
    async def work():
        bench = Bench("a", "b")
        await bench.reloader.first_look()
        bench.now += 1e9
        bench.reloader.look_if_due()
        assert bench.reloader._looking is None
        bench.reloader.look_soon()
        while bench.in_use != ["a", "b"]:
            await asyncio.sleep(0)
        assert bench.reloader._timer is None
        await bench.reloader.close()

    asyncio.run(asyncio.wait_for(work(), 30))


def test_who_asks_while_a_look_is_under_way_gets_one_that_begins_later():
    async def work():
        bench = Bench("a", "b")
        bench.gate = asyncio.Event()
        bench.reloader.look_if_due()
        await asyncio.sleep(0)
        asked = asyncio.ensure_future(bench.reloader.look())
        await asyncio.sleep(0)
        bench.gate.set()
        state = await asked
        await bench.reloader.close()
        return state.version, bench.reads

    assert ("version of b", 2) == asyncio.run(work())


def test_a_signal_while_a_look_is_under_way_is_not_lost():
    async def work():
        bench = Bench("a", "b")
        bench.gate = asyncio.Event()
        bench.reloader.look_if_due()
        await asyncio.sleep(0)
        bench.reloader.look_soon()
        bench.gate.set()
        while bench.in_use != ["a", "b"]:
            await asyncio.sleep(0)
        await bench.reloader.close()

    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_signal_before_there_is_a_loop_is_seen_by_the_first_request():
    bench = Bench("b")
    bench.begin("a")
    bench.reloader.look_soon()

    async def work():
        bench.reloader.look_if_due()
        await asyncio.wait({bench.reloader._looking})
        await bench.reloader.close()

    asyncio.run(work())
    assert ["b"] == bench.in_use


def test_another_event_loop_takes_over():
    bench = Bench("a", "b", every=60.0)

    async def left():
        bench.gate = asyncio.Event()
        bench.reloader.look_if_due()
        await asyncio.sleep(0)

    asyncio.run(left())
    bench.gate = None
    bench.now += 61.0
    assert "version of b" == asyncio.run(bench.looks()).version
