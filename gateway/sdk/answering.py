"""Sends a call over the engine and makes the answer into what its caller gets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.errors import GatewayError
from gateway.protocol.calls import Call
from gateway.protocol.messages import Reply, Truncated
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, OPERATIONS
from gateway.protocol.whole_replies import value_of
from gateway.sdk.arguments import read_arguments
from gateway.sdk.audio import SpeechAudio
from gateway.sdk.core import Core, core_for
from gateway.sdk.failures import broken_off, refusal, translated
from gateway.sdk.objects import Result
from gateway.sdk.results import ChatCompletion, ChatCompletionChunk, EmbeddingList, TextCompletion
from gateway.sdk.streams import AsyncChunkStream, ChunkReader, ChunkStream, Source

_ANSWERS: dict[str, type[Result]] = {
    CHAT.name: ChatCompletion,
    COMPLETIONS.name: TextCompletion,
    EMBEDDINGS.name: EmbeddingList,
}
_CHUNKS: dict[str, type[Any]] = {CHAT.name: ChatCompletionChunk, COMPLETIONS.name: TextCompletion}

#: By the names that the functions use.
OPERATION = {operation.name: operation for operation in OPERATIONS}


def prepared(operation: str, model: str, given: Mapping[str, Any]) -> tuple[Core, Call]:
    """The core and the call of what says itself whom it is for. Raises APIError."""
    return core_for(OPERATION[operation], model, read_arguments(given))


def answer(core: Core, call: Call) -> Any:
    """What a synchronous call brings. Raises APIError."""
    try:
        reply = core.engine.wait(_sent(core, call, None))
    except GatewayError as error:
        raise translated(error)  # noqa: B904  its cause is what a caller can do something about
    if isinstance(reply, Source):
        return ChunkStream(reply, _reader(call))
    return _read(call, reply)


async def aanswer(core: Core, call: Call) -> Any:
    """What an asynchronous call brings. Raises APIError."""
    try:
        reply = await core.engine.reach(_sent(core, call, asyncio.get_running_loop()))
    except GatewayError as error:
        raise translated(error)  # noqa: B904  its cause is what a caller can do something about
    if isinstance(reply, Source):
        return AsyncChunkStream(reply, _reader(call))
    return _read(call, reply)


async def _sent(
    core: Core, call: Call, loop: asyncio.AbstractEventLoop | None
) -> Reply | Source | SpeechAudio:
    """What the core answers: a whole reply, the source of a stream of chunks, or a sound."""
    reply = await core.run(call, loop)
    if isinstance(reply.body, bytes):
        return reply
    source = Source(core.engine, reply.body, call.options.timeout)
    if call.operation.name in _CHUNKS:
        return source
    pieces = []
    try:
        while (piece := await source.piece()) is not None:
            pieces.append(piece)
    except Truncated:
        raise broken_off() from None
    finally:
        await source.end()
    return SpeechAudio(b"".join(pieces), dict(reply.headers))


def _reader(call: Call) -> ChunkReader[Any]:
    return ChunkReader(_CHUNKS[call.operation.name], empty=call.wants_usage)


def _read(call: Call, reply: Reply | SpeechAudio) -> Any:
    if isinstance(reply, SpeechAudio):
        return reply
    if reply.status >= 400:
        raise refusal(reply)
    values = value_of(reply.body) if isinstance(reply.body, bytes) else {}
    return _ANSWERS.get(call.operation.name, Result)(values)
