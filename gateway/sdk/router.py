"""A Router: a configuration of several deployments in Python, answered by the gateway's own rules.

What is heavy is imported when a Router is made, not when this module is.
"""

# ruff: noqa: PLC0415, A002

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from gateway.sdk.functions import Messages, Prompt

if TYPE_CHECKING:
    from gateway.protocol.calls import Call
    from gateway.protocol.operation import Operation
    from gateway.sdk.audio import SpeechAudio
    from gateway.sdk.core import Core
    from gateway.sdk.results import ChatCompletion, ChatCompletionChunk, EmbeddingList, TextCompletion
    from gateway.sdk.streams import AsyncChunkStream, ChunkStream


class Router:
    """Calls models by name; behind each stand the deployments of `model_list`."""

    def __init__(
        self,
        model_list: Sequence[Mapping[str, Any]] | None = None,
        *,
        tables_endpoint: str | None = None,
        storage_connection_string: str | None = None,
        **router_settings: Any,
    ) -> None:
        """Read the configuration: entries as in config.yaml, and the names of its `router_settings`.

        Limits are shared with other processes and with gateways through Table Storage: at `tables_endpoint`,
        with the environment's identity, or by a connection string. Raises ConfigurationError with every
        problem. Warns of what has no effect.
        """
        from gateway.sdk.arguments import asked_for
        from gateway.sdk.core import read_config

        self.model_list = list(model_list or [])
        self._tables_endpoint = tables_endpoint or None
        self._connection_string = storage_connection_string or None
        settings = asked_for(router_settings)
        self._config = read_config({"model_list": self.model_list, "router_settings": settings})
        for text in self._config.warnings:
            if ": members without a credential of their own" not in text:
                warnings.warn(text, UserWarning, stacklevel=2)
        self._core: Core | None = None
        if self._tables_endpoint or self._connection_string:
            from gateway.adapters import tables

            # Not with the first call: that may be on a caller's event loop, and its strict cap waits a second
            # for the store and no longer.
            tables.load()

    @overload
    def completion(
        self, model: str, messages: Messages, *, stream: Literal[True], **arguments: Any
    ) -> ChunkStream[ChatCompletionChunk]: ...
    @overload
    def completion(
        self, model: str, messages: Messages, *, stream: Literal[False] | None = None, **arguments: Any
    ) -> ChatCompletion: ...
    @overload
    def completion(
        self, model: str, messages: Messages, *, stream: bool | None, **arguments: Any
    ) -> ChatCompletion | ChunkStream[ChatCompletionChunk]: ...
    def completion(self, model: str, messages: Messages, **arguments: Any) -> Any:
        """As the function of this name."""
        return self._answer("chat", model, messages=messages, **arguments)

    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: Literal[True], **arguments: Any
    ) -> AsyncChunkStream[ChatCompletionChunk]: ...
    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: Literal[False] | None = None, **arguments: Any
    ) -> ChatCompletion: ...
    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: bool | None, **arguments: Any
    ) -> ChatCompletion | AsyncChunkStream[ChatCompletionChunk]: ...
    async def acompletion(self, model: str, messages: Messages, **arguments: Any) -> Any:
        """As the function of this name."""
        return await self._aanswer("chat", model, messages=messages, **arguments)

    @overload
    def text_completion(
        self, model: str, prompt: Prompt, *, stream: Literal[True], **arguments: Any
    ) -> ChunkStream[TextCompletion]: ...
    @overload
    def text_completion(
        self, model: str, prompt: Prompt, *, stream: Literal[False] | None = None, **arguments: Any
    ) -> TextCompletion: ...
    @overload
    def text_completion(
        self, model: str, prompt: Prompt, *, stream: bool | None, **arguments: Any
    ) -> TextCompletion | ChunkStream[TextCompletion]: ...
    def text_completion(self, model: str, prompt: Prompt, **arguments: Any) -> Any:
        """As the function of this name, with the model first."""
        return self._answer("text_completion", model, prompt=prompt, **arguments)

    @overload
    async def atext_completion(
        self, model: str, prompt: Prompt, *, stream: Literal[True], **arguments: Any
    ) -> AsyncChunkStream[TextCompletion]: ...
    @overload
    async def atext_completion(
        self, model: str, prompt: Prompt, *, stream: Literal[False] | None = None, **arguments: Any
    ) -> TextCompletion: ...
    @overload
    async def atext_completion(
        self, model: str, prompt: Prompt, *, stream: bool | None, **arguments: Any
    ) -> TextCompletion | AsyncChunkStream[TextCompletion]: ...
    async def atext_completion(self, model: str, prompt: Prompt, **arguments: Any) -> Any:
        """As the function of this name, with the model first."""
        return await self._aanswer("text_completion", model, prompt=prompt, **arguments)

    def embedding(self, model: str, input: Prompt, **arguments: Any) -> EmbeddingList:
        """As the function of this name."""
        found: EmbeddingList = self._answer("embeddings", model, input=input, **arguments)
        return found

    async def aembedding(self, model: str, input: Prompt, **arguments: Any) -> EmbeddingList:
        """As the function of this name."""
        found: EmbeddingList = await self._aanswer("embeddings", model, input=input, **arguments)
        return found

    def speech(self, model: str, input: str, voice: str | None = None, **arguments: Any) -> SpeechAudio:
        """As the function of this name."""
        found: SpeechAudio = self._answer("speech", model, input=input, voice=voice, **arguments)
        return found

    async def aspeech(
        self, model: str, input: str, voice: str | None = None, **arguments: Any
    ) -> SpeechAudio:
        """As the function of this name."""
        found: SpeechAudio = await self._aanswer("speech", model, input=input, voice=voice, **arguments)
        return found

    def _answer(self, operation: str, model: str, /, **given: Any) -> Any:
        from gateway.sdk import answering

        return answering.answer(*self._prepared(answering.OPERATION[operation], model, given))

    async def _aanswer(self, operation: str, model: str, /, **given: Any) -> Any:
        from gateway.sdk import answering

        return await answering.aanswer(*self._prepared(answering.OPERATION[operation], model, given))

    def _prepared(self, operation: Operation, model: str, given: Mapping[str, Any]) -> tuple[Core, Call]:
        """The core, and the call. Raises APIError."""
        from gateway.exceptions import ConfigurationError
        from gateway.sdk.arguments import read_arguments

        arguments = read_arguments(given)
        if arguments.addressing:
            names = ", ".join(sorted(arguments.addressing))
            raise ConfigurationError(
                f"{names}: a Router's entries say this; write it into their litellm_params"
            )
        core = self._running()
        return core, core.call(operation, model, arguments.fields, arguments.options)

    def _running(self) -> Core:
        """The core on the process's engine: another one after a fork."""
        from gateway.sdk.core import Core, store_for
        from gateway.sdk.engine import engine

        current, core = engine(), self._core
        if core is not None and core.engine is current:
            return core
        with current.lock:
            # All threads must count in one core.
            core = self._core
            if core is None or core.engine is not current:
                store = store_for(self._tables_endpoint, self._connection_string, current)
                core = self._core = Core(self._config, current, store)
        return core
