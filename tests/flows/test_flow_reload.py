"""A configuration that changes while the gateway runs: nobody who calls it notices."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import KEY, MESSAGES, call, chat, opened, parse_events, wait_for
from support.gateways import start_gateway
from support.upstream import member

#: Callers at once, and generations that replace each other under them.
CALLERS = 6
#: Seconds between two calls of a caller, about as long as one takes: half of them call at any moment.
REST = 0.05
GENERATIONS = 6


class File:
    """A configuration file that is replaced at once, as editors and deployments do it."""

    def __init__(self, folder, base):
        self.path = folder / "config.json"
        self._base = base

    def write(self, models, **more):
        """`models`: name -> deployment."""
        entries = [member(name, deployment, self._base) for name, deployment in models.items()]
        self.replace(json.dumps({"model_list": entries, "general_settings": {"master_key": KEY}} | more))

    def replace(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)


@pytest.fixture
def file(tmp_path, simulator):
    return File(tmp_path, simulator.url)


def listed(gateway):
    answer = call(gateway.port, "GET", "/v1/models")
    return {entry["id"] for entry in answer.json()["data"]} if answer.status == 200 else answer.status


def configuration(gateway):
    return call(gateway.port, "GET", "/readyz").json()["configuration"]


def begin(streams, gateway, model):
    """Streams of `model` whose first event is there."""
    body = {"model": model, "messages": MESSAGES, "stream": True}
    stream = streams.enter_context(opened(gateway.port, "POST", "/v1/chat/completions", body))
    return stream, stream.read1()


@contextlib.contextmanager
def load(gateway, models):
    """Calls of `models` all the time, by callers that rest; yields their statuses, complete at the end of the block."""
    over, statuses = threading.Event(), Counter()

    def work(number):
        found = Counter()
        while not over.wait(REST):
            model = models[number % len(models)]
            number += 1
            answer = chat(gateway.port, model, stream=number % 2 == 0)
            found[model, answer.status, answer.broken] += 1
        return found

    with ThreadPoolExecutor(CALLERS) as callers:
        working = [callers.submit(work, number) for number in range(CALLERS)]
        try:
            yield statuses
        finally:
            over.set()
            for each in working:
                statuses.update(each.result(60))


def test_members_come_go_and_change_under_load_and_no_request_fails(host, file, pool):
    kept, first, second = pool.solo(), pool.solo(), pool.solo()
    even = {"kept": kept.deployments[0], "changed": first.deployments[0], "leaving": "deployment-slow"}
    odd = {"added": "deployment-long", "changed": second.deployments[0], "kept": kept.deployments[0]}
    file.write(even)
    with (
        start_gateway(host, str(file.path), GATEWAY_RELOAD_SECONDS="0.1") as gateway,
        contextlib.ExitStack() as streams,
    ):
        assert set(even) == listed(gateway)
        with load(gateway, ["kept", "changed"]) as statuses:
            for generation in range(1, GENERATIONS + 1):
                under_way = []
                if generation % 2:
                    under_way = [begin(streams, gateway, "leaving") for _ in range(3)]
                models = odd if generation % 2 else even
                file.write(models, router_settings={"num_retries": generation})
                assert wait_for(lambda models=models: listed(gateway) == set(models))

                gone = set(even) - set(models) or set(odd) - set(models)
                assert [404] == [chat(gateway.port, name).status for name in gone]
                assert [200] * len(models) == [chat(gateway.port, name).status for name in models]
                for stream, beginning in under_way:
                    events = parse_events(beginning + stream.read())
                    assert "[DONE]" == events[-1]
                    assert 20 < len(events)

        assert {("kept", 200, False), ("changed", 200, False)} == set(statuses)
    assert all(pool.counts(model)[0] > 0 for model in (kept, first, second))
    assert sum(statuses.values()) > GENERATIONS * CALLERS


def test_an_invalid_version_is_refused_and_shown_until_it_is_mended(host, file, pool):
    models = {"kept": pool.solo().deployments[0]}
    file.write(models)
    with start_gateway(host, str(file.path), GATEWAY_RELOAD_SECONDS="0.1") as gateway:
        assert {"healthy": True, "reason": None} == {
            name: configuration(gateway)[name] for name in ("healthy", "reason")
        }
        version = configuration(gateway)["version"]
        file.write(models, router_settings={"num_retires": 3}, litellm_settings={"request_timeout": -1})
        assert wait_for(lambda: not configuration(gateway)["healthy"])
        refused = configuration(gateway)
        time.sleep(1)  # several looks

        assert version == refused["version"]
        problems = refused["reason"].splitlines()
        assert ["router_settings.num_retires", "litellm_settings.request_timeout"] == [
            problem.partition(": ")[0] for problem in problems
        ]
        assert [1, 1] == [gateway.log().count(problem) for problem in problems]
        assert 200 == call(gateway.port, "GET", "/readyz", key=None).status
        assert {"status": "ok"} == call(gateway.port, "GET", "/readyz", key=None).json()
        assert 200 == chat(gateway.port, "kept").status

        file.write(models, router_settings={"num_retries": 3})
        assert wait_for(lambda: configuration(gateway)["healthy"])
        assert version != configuration(gateway)["version"]


def test_a_file_that_is_gone_changes_nothing(host, file, pool):
    file.write({"kept": pool.solo().deployments[0]})
    with start_gateway(host, str(file.path), GATEWAY_RELOAD_SECONDS="0.1") as gateway:
        assert configuration(gateway)["healthy"]
        file.path.unlink()
        assert wait_for(lambda: not configuration(gateway)["healthy"])

        assert 200 == chat(gateway.port, "kept").status
        assert "document: the file cannot be read" in configuration(gateway)["reason"]


def test_a_changed_master_key_holds_from_the_next_request_on(host, file, pool):
    models = {"kept": pool.solo().deployments[0]}
    file.write(models)
    with start_gateway(host, str(file.path), GATEWAY_RELOAD_SECONDS="0.1") as gateway:
        assert {"kept"} == listed(gateway)
        file.write(models, general_settings={"master_key": "sk-another"})
        assert wait_for(lambda: listed(gateway) == 401)

        assert 200 == call(gateway.port, "GET", "/v1/models", key="sk-another").status


def test_without_an_interval_the_functions_host_stays_with_what_it_loaded(file, pool):
    file.write({"kept": pool.solo().deployments[0]})
    with start_gateway("functions", str(file.path)) as gateway:
        assert {"kept"} == listed(gateway)
        file.write({"added": pool.solo().deployments[0]})
        time.sleep(1)

        assert {"kept"} == listed(gateway)


@pytest.mark.parametrize("at_first", [None, "model_list: []"], ids=["missing", "wrong"])
def test_a_first_load_that_failed_heals_by_itself(at_first, file, pool):
    if at_first is not None:
        file.replace(at_first)
    with start_gateway("functions", str(file.path)) as gateway:
        assert [503] * 5 == [chat(gateway.port, "kept").status for _ in range(5)]
        file.write({"kept": pool.solo().deployments[0]})

        assert wait_for(lambda: call(gateway.port, "GET", "/readyz", key=None).status == 200)
        assert 200 == chat(gateway.port, "kept").status


def test_sighup_reads_the_file_again_without_any_request(file, pool):
    file.write({"kept": pool.solo().deployments[0]})
    with start_gateway("embedded", str(file.path), GATEWAY_RELOAD_SECONDS="0") as gateway:
        file.write({"added": pool.solo().deployments[0]})
        time.sleep(0.5)
        assert "from now on" not in gateway.log()
        os.kill(gateway.pid, signal.SIGHUP)

        assert wait_for(lambda: "is used from now on" in gateway.log())
        assert {"added"} == listed(gateway)
        assert 200 == chat(gateway.port, "added").status


def test_many_sighups_are_as_good_as_one(file, pool):
    models = {"kept": pool.solo().deployments[0]}
    file.write(models)
    with start_gateway("embedded", str(file.path), GATEWAY_RELOAD_SECONDS="0") as gateway:
        with load(gateway, ["kept"]) as statuses:
            for number in range(20):
                file.write(models | {f"added-{number}": "deployment-long"})
                os.kill(gateway.pid, signal.SIGHUP)
                time.sleep(0.02)
            assert wait_for(lambda: "added-19" in listed(gateway))

        assert {("kept", 200, False)} == set(statuses)


def test_loading_a_large_document_holds_up_no_call(file, pool):
    models = {"kept": pool.solo().deployments[0]}
    file.write(models)
    with start_gateway("embedded", str(file.path), GATEWAY_RELOAD_SECONDS="0") as gateway:
        assert {"kept"} == listed(gateway)
        many = [f"model-{number}-{'x' * 60}" for number in range(3000)]
        file.write(models | dict.fromkeys(many, "deployment-long"))
        began = time.monotonic()
        os.kill(gateway.pid, signal.SIGHUP)
        waits = []
        while "is used from now on" not in gateway.log():
            before = time.monotonic()
            assert 200 == call(gateway.port, "GET", "/healthz", key=None).status
            waits.append(time.monotonic() - before)
            assert time.monotonic() - began < 60

        # Loaded on the event loop, one call would have waited for nearly all of that time.
        assert max(waits) < (time.monotonic() - began) / 2
        assert 3001 == len(listed(gateway))
