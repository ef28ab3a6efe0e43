"""The body that a deployment gets for a call. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.config.deployment import Deployment, Target
from gateway.protocol.body_edits import trimmed
from gateway.protocol.calls import Call
from gateway.protocol.request_defaults import added_fields

_DATA_SOURCES = ("data_sources", "dataSources")


class Outgoing(msgspec.Struct, frozen=True):
    """The body for one deployment, and whether it asks for usage that the client did not ask for."""

    body: bytes
    hide_usage: bool


def grounded(call: Call) -> bool:
    """Whether the client names data sources for its answer."""
    return any(call.body.values.get(name) for name in _DATA_SOURCES)


def outgoing(call: Call, deployment: Deployment, target: Target, *, ask_usage: bool = True) -> Outgoing:
    """The body that `deployment` gets: the client's bytes with few changes.

    The model is replaced where the body names the deployment. Fields that the configuration drops are taken
    out, those of its extra body are added where they are absent. Request defaults of the configuration are
    added where the client sent none and the operation knows the field. Streams are asked for their usage,
    for without it nobody would learn what they cost; not with `ask_usage` False, nor beside data sources,
    where Azure refuses `stream_options`.
    """
    body = trimmed(call.body, deployment.dropped, deployment.dropped_within)
    values = body.values
    defaults = added_fields(call.operation, values, deployment.defaults, deployment.extra_body)
    defaults = {name: value for name, value in defaults.items() if name not in deployment.dropped}
    changes: dict[str, Any] = {"model": deployment.name} if target.model_in_body else {}
    hide_usage = False
    sources = grounded(call) or any(name in defaults for name in _DATA_SOURCES)
    asks = ask_usage and call.operation.streams_usage and target.stream_usage
    if call.stream and asks and not (call.wants_usage or sources):
        options = values.get("stream_options")
        if options is None or isinstance(options, dict):
            changes["stream_options"] = {**(options or {}), "include_usage": True}
            hide_usage = True
    return Outgoing(body.replaced(changes, defaults), hide_usage)
