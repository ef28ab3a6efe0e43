"""One gateway per process, made once; a bad configuration is told once and answered always."""

import asyncio
import gc
import json
import logging
import subprocess
import sys

import pytest
from support.assembled import reply_to
from support.samples import Caller, settings
from support.scripted import Scripted, reply

from gateway.app import Process, Root
from gateway.config.problems import ConfigError
from gateway.errors import NotReady
from gateway.protocol.endpoints import MODELS
from gateway.protocol.messages import Request
from gateway.protocol.operations import CHAT
from gateway.settings import read
from gateway.storage.memory import MemoryStore
from gateway.storage.store import StoreError, StoreFailure

AZURITE = "UseDevelopmentStorage=true"


def document(base="https://x.openai.azure.com", **sections):
    params = {"model": "azure/dep-a", "api_base": base, "api_key": "k"}
    return json.dumps({"model_list": [{"model_name": "gpt", "litellm_params": params}], **sections})


def started(**environ):
    process = Process(settings(**environ))
    process.start()
    return process


@pytest.mark.system
def test_a_configuration_becomes_a_gateway_that_answers():
    async def work():
        async with Scripted(reply(200, b'{"a":1,"choices":[{}]}')) as upstream:
            app = started(config=document(upstream.url), allow_anonymous="1")
            answer = await reply_to(
                app.gateway, Request(CHAT, {}, Caller([b'{"model":"gpt","messages":[]}']))
            )
            await app.close()
            return answer.body, upstream.requests[0][0].split(b"\r\n")[0]

    line = b"POST /openai/deployments/dep-a/chat/completions?api-version=2024-10-21 HTTP/1.1"
    assert (b'{"a":1,"choices":[{}]}', line) == asyncio.run(work())


class SharedStore(MemoryStore):
    shared = True


def test_other_instances_are_told_of_a_reload_where_they_have_the_same_source(monkeypatch):
    """A file is each instance's own, and no mark is followed there."""
    monkeypatch.setattr("gateway.app.MemoryStore", SharedStore)

    async def everywhere(**environ):
        own = {"GATEWAY_CONFIG": document(), "GATEWAY_ALLOW_ANONYMOUS": "1"}
        app = Process(read(own | environ))
        try:
            return await app._reload()
        finally:
            await app.close()

    assert not asyncio.run(everywhere())
    assert asyncio.run(everywhere(KEY_VAULT_URL="https://kv.vault.azure.net"))


class SlowCaller(Caller):
    """A caller whose body comes when it is told to send it."""

    def __init__(self, *pieces):
        super().__init__(list(pieces))
        self.began, self.sends = asyncio.Event(), asyncio.Event()

    async def chunks(self):
        self.began.set()
        await self.sends.wait()
        async for piece in super().chunks():
            yield piece


@pytest.mark.system
def test_a_request_that_began_before_ends_by_the_configuration_it_began_with(tmp_path):
    path, body = tmp_path / "config.json", b'{"model":"gpt","messages":[]}'

    async def work():
        async with Scripted(reply(200, b'{"a":1,"choices":[{}]}')) as upstream:
            path.write_text(document(upstream.url))
            app, early = started(config=path, allow_anonymous="1"), SlowCaller(body)
            request = asyncio.ensure_future(reply_to(app.gateway, Request(CHAT, {}, early)))
            await early.began.wait()
            path.write_text(document(upstream.url).replace('"gpt"', '"other"'))
            state = await app.reloader.look()
            gc.collect()
            early.sends.set()
            late = await reply_to(app.gateway, Request(CHAT, {}, Caller([body])))
            statuses = [(await request).status, late.status]
            await app.close()
            return statuses, state.problems

    assert ([200, 404], ()) == asyncio.run(work())


class BrokenStore(MemoryStore):
    async def load(self, name):
        raise StoreError(StoreFailure.DOWN)


@pytest.mark.system
@pytest.mark.parametrize(("setting", "expected"), [({}, 200), ({"strict_fails_open": False}, 429)])
def test_strict_caps_without_a_store_fail_as_configured(setting, expected, monkeypatch):
    monkeypatch.setattr("gateway.app.MemoryStore", BrokenStore)
    general = {"client_limits": {"rpm": 9, "strict": True}, **setting}

    async def work():
        async with Scripted(reply(200, b'{"a":1,"choices":[{}]}')) as upstream:
            app = started(config=document(upstream.url, general_settings=general), allow_anonymous="1")
            answer = await reply_to(
                app.gateway, Request(CHAT, {}, Caller([b'{"model":"gpt","messages":[]}']))
            )
            await app.close()
            return answer.status, dict(answer.headers).get("retry-after")

    assert (expected, "5" if expected == 429 else None) == asyncio.run(work())


def test_without_a_configuration_there_is_no_gateway():
    with pytest.raises(ConfigError) as caught:
        started()
    assert [
        "GATEWAY_CONFIG: is not set; it holds the configuration document, or the path of one"
    ] == caught.value.problems


def test_warnings_of_a_configuration_are_logged(caplog):
    started(config=document(litellm_settings={"drop_params": False}), allow_anonymous="1")
    assert [logging.WARNING] * len(caplog.records) == [record.levelno for record in caplog.records]


@pytest.mark.system
@pytest.mark.parametrize(("storage", "loaded"), [(AZURITE, True), ("", False)])
def test_a_host_with_time_loads_the_client_of_the_store_before_the_first_request(storage, loaded):
    code = (
        "import sys; from gateway.app import Process; from gateway.settings import read\n"
        "names = ('GATEWAY_CONFIG', 'AzureWebJobsStorage', 'GATEWAY_ALLOW_ANONYMOUS')\n"
        "app = Process(read(dict(zip(names, [*sys.argv[1:], '1']))))\n"
        "before = 'azure.data.tables' in sys.modules; app.start()\n"
        "print(before, 'azure.data.tables' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, document(), storage], capture_output=True, text=True, check=True
    )
    assert f"False {loaded}\n" == run.stdout


def test_a_bad_configuration_is_told_once_and_answered_always(monkeypatch, caplog):
    monkeypatch.setenv("GATEWAY_CONFIG", "{}")

    async def work():
        gateway = Root().gateway()
        statuses = []
        for _ in range(3):
            statuses.append((await reply_to(gateway, Request(MODELS, {}, Caller()))).status)
            with pytest.raises(NotReady):
                await gateway.readiness({})
        return statuses

    assert [503] * 3 == asyncio.run(work())
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert lines
    assert len(lines) == len(set(lines))
    assert all(line.startswith("configuration: ") for line in lines)


def test_bad_settings_are_told_once_and_answered_always(monkeypatch, caplog):
    monkeypatch.setenv("GATEWAY_KEEP_ALIVE", "x")
    root = Root()
    for _ in range(2):
        with pytest.raises(NotReady):
            root.gateway()
    assert ["configuration: GATEWAY_KEEP_ALIVE: must be a number above 0"] == [
        record.getMessage() for record in caplog.records
    ]


def test_the_gateway_is_made_once(monkeypatch):
    monkeypatch.setenv("GATEWAY_CONFIG", document())
    monkeypatch.setenv("GATEWAY_ALLOW_ANONYMOUS", "1")
    root = Root()
    assert root.gateway() is root.gateway()


def test_a_host_may_bring_its_own():
    process, root = started(config=document(), allow_anonymous="1"), Root()
    root.install(process)
    assert process.gateway is root.gateway()
