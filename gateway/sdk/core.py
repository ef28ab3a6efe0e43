"""The gateway's core for one configuration, and the cores of calls that bring their own.

A part of the composition root: it puts together what `gateway/app.py` does for the hosts, without a file to
read, keys to check or anything to hide from its caller.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gateway
from gateway.auth.principal import Principal
from gateway.config.deployment import Config, Deployment, StaticToken, TokenFunction
from gateway.config.load import load_tree
from gateway.config.problems import ConfigError
from gateway.errors import GatewayError, InternalError
from gateway.exceptions import ConfigurationError
from gateway.limits.balancing.balancer import Balancer
from gateway.pipeline.ending import finish, new_request_id
from gateway.pipeline.running import Runner
from gateway.protocol import calls
from gateway.protocol.calls import Call, CallOptions
from gateway.protocol.messages import Reply
from gateway.protocol.operation import Operation
from gateway.routing.dispatcher import Dispatcher
from gateway.routing.models import Models
from gateway.sdk.arguments import Arguments, Defaults, completed, variables
from gateway.sdk.bodies import body_of
from gateway.sdk.engine import Engine, engine
from gateway.sdk.failures import translated
from gateway.sdk.tokens import Provider, asking, origin
from gateway.settings import process_environment
from gateway.sharing.replication import Replication
from gateway.storage.memory import MemoryStore
from gateway.storage.store import Store
from gateway.telemetry.record import Record
from gateway.upstream.attempts import Attempts
from gateway.upstream.redaction import OpenScrubber

#: Cores of calls with their own addresses and credentials that are kept, those used last.
MAX_CORES = 256
_CALLER = Principal("python")
#: In a document, the place of a function that provides tokens.
_PROVIDER = "azure_ad_token_provider"
#: How the paths of a single entry begin, which its caller has not written.
_ENTRY = "model_list[0].litellm_params."
_NAME = "model_list[0].model_name"


class Core:
    """Answers calls by one configuration, on the engine's loop."""

    def __init__(
        self, config: Config, engine: Engine, store: Store, *, deployment: str | None = None
    ) -> None:
        """`deployment` is what bodies call the model, where that is not the requested model."""
        self.engine = engine
        self._models = Models(config, int(time.time()))
        self._deployment = deployment
        settings = engine.settings
        balancer = Balancer(config, secrets.token_hex(6), random.random)
        self._sharing = Replication(balancer, store, clock=time.time, random=random.random)
        attempts = Attempts(
            config,
            engine.upstream,
            engine.tokens,
            clock=time.time,
            silence=settings.stream_timeout,
            max_reply=settings.max_reply,
            scrubber=OpenScrubber(),
        )
        self._dispatcher = Dispatcher(
            config, self._models, attempts, balancer, self._sharing, random=random.random
        )
        self._runner = Runner(settings, clock=time.time)
        if store.shared:
            engine.keep(self, self._sharing)

    def call(self, operation: Operation, model: str, fields: Mapping[str, Any], options: CallOptions) -> Call:
        """The call of `model` with these fields in its body. Raises APIError for what cannot be one."""
        try:
            body = body_of({"model": self._deployment or model, **fields})
            return self._models.check(calls.read(operation, body, model, options), _CALLER)
        except GatewayError as error:
            raise translated(error) from None

    async def run(self, call: Call, loop: asyncio.AbstractEventLoop | None) -> Reply:
        """Answer `call`, which comes from `loop`. Runs on the engine's loop. Raises GatewayError."""
        origin.set(loop)
        record = Record(
            new_request_id(),
            call.operation.name,
            time.time(),
            client=_CALLER.name,
            requested_model=call.requested_model,
            stream=call.stream,
        )
        whole = True
        try:
            reply = await self._runner.run(self._dispatcher, call, _CALLER, record)
            record.status = reply.status
            whole = isinstance(reply.body, bytes)
        except GatewayError as error:
            record.status, record.error_code = error.status, error.code
            raise
        except BaseException:
            record.status, record.error_code = InternalError.status, InternalError.default_code
            raise
        finally:
            if whole:
                finish(record, time.time())
        return reply


def defaults() -> Defaults:
    """What is assigned on the module now."""
    return Defaults(
        api_key=gateway.api_key or None,
        api_base=gateway.api_base or None,
        api_version=gateway.api_version or None,
        drop_params=gateway.drop_params is True,
    )


def read_config(tree: Mapping[str, Any]) -> Config:
    """The configuration in a document of Python values, completed by the module and the environment.

    Raises ConfigurationError with every problem.
    """
    environ = process_environment()
    providers: dict[str, Provider] = {}
    entries = tree.get("model_list")
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        tree = {**tree, "model_list": [_entry(*each, environ, providers) for each in enumerate(entries)]}
    try:
        config = load_tree(tree, environ)
    except ConfigError as error:
        raise ConfigurationError("\n".join(error.problems)) from None
    if providers:
        models = {
            name: tuple(_with_provider(each, providers) for each in group)
            for name, group in config.models.items()
        }
        config = replace(config, models=models)
    return config


def _entry(number: int, entry: Any, environ: Mapping[str, str], providers: dict[str, Provider]) -> Any:
    """An entry of `model_list`, completed; None counts as not given, a function gets a place.

    Raises ConfigurationError for a provider that is none: another identity would be used.
    """
    params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    if not isinstance(params, Mapping):
        return entry
    params = completed(params, defaults(), environ)
    provider = params.pop(_PROVIDER, None)
    if provider is not None and not callable(provider):
        raise ConfigurationError(
            f"model_list[{number}].litellm_params.{_PROVIDER}: must be a function that returns a token"
        )
    if provider is not None:
        place = f"provider-{secrets.token_hex(16)}"
        if "azure_ad_token" not in params:
            params["azure_ad_token"] = place
            providers[place] = provider
    entry = {name: value for name, value in entry.items() if value is not None}
    return {**entry, "litellm_params": params}


def _with_provider(deployment: Deployment, providers: Mapping[str, Provider]) -> Deployment:
    credential = deployment.credential
    if isinstance(credential, StaticToken) and (provider := providers.get(credential.token)) is not None:
        return replace(deployment, credential=TokenFunction(asking(provider)))
    return deployment


class _Cores:
    """The cores of calls with their own addresses and credentials, by what these are."""

    def __init__(self) -> None:
        self._cores: OrderedDict[tuple[Any, ...], Core] = OrderedDict()

    def find(self, model: str, addressing: Mapping[str, Any]) -> Core:
        current, assigned = engine(), defaults()
        read = tuple(map(process_environment().get, variables(model, addressing, assigned)))
        key = (current, model, tuple(addressing.items()), assigned, read)
        cores = self._cores
        try:
            cores.move_to_end(key)
            return cores[key]
        except KeyError:
            pass
        except TypeError:
            # A mapping or a list among the arguments.
            plain = {name: _hashable(value) for name, value in addressing.items()}
            return self._found((current, model, tuple(plain.items()), assigned, read), model, addressing)
        return self._found(key, model, addressing)

    def _found(self, key: tuple[Any, ...], model: str, addressing: Mapping[str, Any]) -> Core:
        current, cores = key[0], self._cores
        if (found := cores.get(key)) is not None:
            return found
        config = _config_of(model, addressing)
        core = Core(config, current, MemoryStore(), deployment=config.models[model][0].name)
        with current.lock:
            core = cores.setdefault(key, core)
            if len(cores) > MAX_CORES:
                cores.popitem(last=False)
        return core


_cores = _Cores()


def core_for(operation: Operation, model: str, arguments: Arguments) -> tuple[Core, Call]:
    """The core of a call that says itself whom it is for, and the call. Raises APIError."""
    if not isinstance(model, str) or not model:
        raise ConfigurationError("model: must be the name of a model, such as azure/<deployment>")
    core = _cores.find(model, arguments.addressing)
    return core, core.call(operation, model, arguments.fields, arguments.options)


def _config_of(model: str, addressing: Mapping[str, Any]) -> Config:
    """The configuration of one deployment that has the name it is called by."""
    params = {"model": model, **addressing}
    info = dict(params.pop("model_info", None) or {})
    if base_model := params.pop("base_model", None):
        info["base_model"] = base_model
    entry = {"model_name": model, "litellm_params": params, "model_info": info}
    # Whoever calls one deployment wants it called: nothing is remembered against it.
    tree = {"model_list": [entry], "router_settings": {"disable_cooldowns": True}}
    try:
        return read_config(tree)
    except ConfigurationError as error:
        raise ConfigurationError(error.message.replace(_ENTRY, "").replace(_NAME, "model")) from None


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    return value


def store_for(tables_endpoint: str | None, storage_connection_string: str | None, engine: Engine) -> Store:
    """Table Storage where one of both names it, else this process's memory."""
    if not (tables_endpoint or storage_connection_string):
        return MemoryStore()
    from gateway.adapters.tables import TableStore  # noqa: PLC0415  few calls need it

    if tables_endpoint:
        return TableStore(time.time, endpoint=tables_endpoint, tokens=engine.tokens)
    return TableStore(time.time, connection_string=storage_connection_string)
