"""A call as a deployment's model takes it, and its answer as the client asked for it. Pure.

Only deployments whose model is known (`Deployment.capabilities`) have their calls changed.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.config.deployment import Deployment
from gateway.errors import BadRequest
from gateway.protocol import chat_as_text
from gateway.protocol.body_edits import changed, member_json, trimmed, with_user_roles
from gateway.protocol.calls import Call
from gateway.protocol.capabilities import Capabilities
from gateway.protocol.chat_as_text import CHAT_AS_TEXT
from gateway.protocol.emulated_stream import events_of
from gateway.protocol.json_body import Body
from gateway.protocol.operations import CHAT
from gateway.protocol.sse import EventSplitter
from gateway.protocol.stream_tap import StreamTap
from gateway.upstream.answers import Answer, EventsAnswer, WholeAnswer
from gateway.upstream.client import Exchange
from gateway.upstream.expected import Expected
from gateway.upstream.verdicts import no_answer

#: Bits of a whole number that a message repeats: Python writes none of more than some thousand digits.
_SHOWN_BITS = 64

_OLD, _NEW = "max_tokens", "max_completion_tokens"


def refusal(call: Call, deployment: Deployment) -> BadRequest | None:
    """Why the deployment's model would refuse the call; None where it takes it as `adapted` makes it."""
    capabilities = deployment.capabilities
    if capabilities is None or call.operation is not CHAT:
        return None
    body = trimmed(call.body, deployment.dropped, deployment.dropped_within)
    if capabilities.completes_texts:
        return chat_as_text.refusal(body.values, drop_params=deployment.drop_params)
    if deployment.drop_params:
        return None
    name = next(iter(_refused(body, capabilities)), None)
    return None if name is None else _unsupported(name, body, capabilities)


def adapted(call: Call, deployment: Deployment) -> Call:
    """The call as the deployment's model takes it; itself where nothing of it changes."""
    capabilities = deployment.capabilities
    if capabilities is None or call.operation is not CHAT:
        return call
    body = trimmed(call.body, deployment.dropped, deployment.dropped_within)
    if capabilities.completes_texts:
        body = chat_as_text.text_body(body, {**deployment.extra_body, **deployment.defaults})
        return replace(
            call,
            operation=CHAT_AS_TEXT,
            body=body,
            streaming=CHAT_AS_TEXT.streaming if call.stream else None,
        )
    emulated = call.stream and not capabilities.streams
    without = {"stream", "stream_options"} if emulated else set()
    if deployment.drop_params:
        without |= {*_refused(body, capabilities), *capabilities.doubtful}
    names: dict[str, str] = {}
    if capabilities.renames_max_tokens and body.values.get(_OLD) is not None:
        # The newer name wins where both are given.
        if body.values.get(_NEW) is None:
            without.add(_NEW)
            names[_OLD] = _NEW
        else:
            without.add(_OLD)
    values: dict[str, bytes] = {}
    if not capabilities.system_messages and "messages" in body.values:
        messages = member_json(body, "messages")
        if (told := with_user_roles(messages)) != messages:
            values["messages"] = told
    body = changed(body, without=without, names=names, values=values)
    return replace(call, body=body, streaming=None if emulated else call.streaming)


def restored(answer: Answer, exchange: Exchange, call: Call, expected: Expected) -> Answer:
    """`answer` as the client's `call` asks for it: a stream of events where the model could not stream.

    `exchange` is the whole reply that was read to its end. Raises AttemptFailed.
    """
    if call.streaming is None or not isinstance(answer, WholeAnswer) or answer.status >= 400:
        return answer
    try:
        events = events_of(answer.body, usage=call.wants_usage)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise no_answer(answer.status, "no answer") from error
    return EventsAnswer(
        exchange=exchange,
        deployment=answer.deployment,
        content_type=answer.content_type,
        limits=answer.limits,
        # Known already, whatever the client waits for.
        usage=answer.usage,
        events=events,
        splitter=EventSplitter(),
        tap=StreamTap(call.streaming, hide_usage=not call.wants_usage),
        scrubber=expected.scrubber,
    )


def _refused(body: Body, capabilities: Capabilities) -> list[str]:
    """The fields of a body that the model refuses, in its order."""
    values = body.values
    named = (name for name in values if name in capabilities.refused)
    return [name for name in named if not capabilities.takes(name, values[name])]


def _unsupported(name: str, body: Body, capabilities: Capabilities) -> BadRequest:
    only = capabilities.refused[name]
    if only is None:
        return BadRequest(
            f"Unsupported parameter: '{name}' is not supported with this model.",
            param=name,
            code="unsupported_parameter",
        )
    value = body.values[name]
    number = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _SHOWN_BITS)
    told = f"{value} " if number else "this value "
    return BadRequest(
        f"Unsupported value: '{name}' does not support {told}with this model. "
        f"Only the default ({only}) value is supported.",
        param=name,
        code="unsupported_value",
    )
