"""The event that fills a silence of a stream. Pure.

Comments would do by the standard, but openai-go (to 3.42.0) ends a stream at one, and openai-python raises
where events carry ids. A chunk that says nothing is taken by every client.
"""

from __future__ import annotations

import msgspec

from gateway.protocol.operation import Streaming
from gateway.protocol.sse import event_data

#: As in Azure's own first chunk (`prompt_filter_results`), which comes before the answer has an id.
_UNNAMED = msgspec.Raw(b'""')


class _Named(msgspec.Struct):
    id: msgspec.Raw = _UNNAMED
    model: msgspec.Raw = _UNNAMED
    created: msgspec.Raw = msgspec.Raw(b"0")


_named = msgspec.json.Decoder(_Named)


def keep_alive(streaming: Streaming, first: bytes) -> bytes:
    """An event with the id, the model and the time of `first`, the first event of an answer (or empty).

    Empty where the protocol has no event that says nothing.
    """
    if not streaming.keep_alive:
        return b""
    try:
        named = _named.decode(event_data(first))
    except (msgspec.DecodeError, RecursionError):
        named = _Named()
    return streaming.keep_alive % (bytes(named.id), bytes(named.created), bytes(named.model))
