"""What a request asks for, read from its body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.errors import BadRequest, UnsupportedMediaType
from gateway.protocol.json_body import Body, LargeValue
from gateway.protocol.operation import Operation, Streaming

#: Characters of a model's name.
MAX_MODEL = 256
MISSING_MODEL = "you must provide a model parameter"


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a caller of the Python API says of one call. Over HTTP the configuration alone says it."""

    #: Seconds for one try; None for the deployment's.
    timeout: float | None = None
    #: Retries of a lone deployment; None for its own.
    num_retries: int | None = None
    #: Headers for upstream, names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


NO_OPTIONS = CallOptions()


class Call(msgspec.Struct, frozen=True):
    """One call of a model."""

    operation: Operation
    requested_model: str
    body: Body
    #: How the reply streams; None where no stream is asked for.
    streaming: Streaming | None
    #: Whether the client asked for a stream's usage itself.
    wants_usage: bool
    options: CallOptions = NO_OPTIONS
    #: The alias by which the caller named the model; None for its own name.
    alias: str | None = None
    #: Whether an answer that there is no such deployment is in Azure's words.
    azure_path: bool = False

    @property
    def shown_model(self) -> str:
        """The model as the caller named it: an alias may be all that it may know of the model."""
        return self.alias or self.requested_model

    @property
    def stream(self) -> bool:
        """Whether a stream is asked for."""
        return self.streaming is not None

    def choices(self, defaults: Mapping[str, Any]) -> int:
        """How many choices the answer has: those asked for, by the request or else by `defaults`."""
        fields = self.operation.choices_fields
        values = self.body.values
        asked = values.get(fields[0], defaults.get(fields[0])) if fields else None
        choices = asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else 1
        prompts = values.get("prompt") if "prompt" in self.operation.body_fields else None
        if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list):
            # So many for each text. A list of numbers is one text in tokens.
            choices *= len(prompts)
        return choices


def read(operation: Operation, body: Body, path_model: str | None, options: CallOptions = NO_OPTIONS) -> Call:
    """The call in a body; a model in the path wins. Raises BadRequest without a model.

    Some operations have a model for requests that name none.
    """
    values = body.values
    model = path_model if path_model is not None else values.get("model")
    if model is None or model == "":
        model = operation.default_model
    if model is None:
        raise BadRequest(MISSING_MODEL)
    if isinstance(model, LargeValue) or (isinstance(model, str) and len(model) > MAX_MODEL):
        raise BadRequest(
            f"Invalid 'model': string too long. Expected a string with maximum length {MAX_MODEL}.",
            param="model",
            code="string_above_max_length",
        )
    if not isinstance(model, str):
        raise BadRequest(
            f"Invalid type for 'model': expected a string, but got {_kind(model)} instead.",
            param="model",
            code="invalid_type",
        )
    streaming = operation.streaming
    if streaming is not None and not streaming.asked_for(values):
        streaming = None
    asked = values.get("stream_options")
    wants_usage = isinstance(asked, dict) and asked.get("include_usage") is True
    return Call(operation, model, body, streaming, wants_usage, options)


def check_media_type(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMediaType for what cannot be a plain JSON body.

    A missing content type and text/plain are taken: clients that send JSON under them mean JSON.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType("Compressed request bodies are not supported. Send the JSON uncompressed.")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in {"", "application/json", "text/plain"} or media_type.endswith("+json"):
        return
    raise UnsupportedMediaType(
        "This operation takes JSON. Send it with the header Content-Type: application/json."
    )


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object"}
    return names.get(type(value), "null")
