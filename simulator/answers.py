"""From a checked call to its reply: which module answers, whole or as a stream."""

from __future__ import annotations

import json

from simulator import embeddings, moderations, speech
from simulator.calls import Call, paced
from simulator.chat import ChatAnswer
from simulator.completions import CompletionAnswer
from simulator.reply import Reply, compact

JSON = ("Content-Type", "application/json")
EVENT_STREAM = ("Content-Type", "text/event-stream; charset=utf-8")


def answer(call: Call, *, whole: bool) -> tuple[Reply, int]:
    """The reply and the tokens it uses. `whole` sends JSON although a stream was asked for."""
    kind = call.deployment.kind
    if kind == "embeddings":
        body = embeddings.embed(call)
        return whole_reply(call, body, 0), body["usage"]["total_tokens"]
    if kind == "moderations":
        return whole_reply(call, moderations.moderate(call), 0), 0
    if kind == "speech":
        events = call.body.get("stream_format") == "sse"
        content_type = EVENT_STREAM if events else ("Content-Type", speech.content_type(call))
        parts = speech.event_parts(call) if events else speech.binary_parts(call)
        return Reply(200, [content_type], None, parts, delay_s=call.first_s(), events=events), 0
    text: ChatAnswer | CompletionAnswer
    text = ChatAnswer(call) if kind == "chat" else CompletionAnswer(call)
    used = text.usage["total_tokens"]
    if call.body.get("stream") and not whole:
        parts = paced(call, text.stream())
        return Reply(200, [EVENT_STREAM], None, parts, delay_s=call.first_s(), events=True), used
    return whole_reply(call, text.whole(), text.usage["completion_tokens"]), used


def whole_reply(call: Call, document: object, tokens: int) -> Reply:
    """A JSON body, sent once the model would have finished; OpenAI's platform indents it."""
    if call.platform:
        body = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    else:
        body = compact(document)
    return Reply(200, [JSON], body, delay_s=call.whole_s(tokens))
