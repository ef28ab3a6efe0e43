"""Tokens of a caller's own function (`azure_ad_token_provider`): asked for each call, blocking no others."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from gateway.upstream.credentials import IdentityFailed

#: A synchronous or an asynchronous function that returns a token.
Provider = Callable[[], Any]

#: The loop that the call under way comes from; None where it comes from a thread without one.
origin: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("origin", default=None)


def asking(provider: Provider) -> Callable[[], Awaitable[str]]:
    """What asks `provider` for a token. It raises IdentityFailed, with the provider's own exception as cause.

    A synchronous provider runs in a thread, an asynchronous one on the loop of the call that needs the token.
    """
    runs = getattr(provider, "__call__", None)  # noqa: B004  a callable object's, which may be asynchronous
    asynchronous = inspect.iscoroutinefunction(provider) or inspect.iscoroutinefunction(runs)

    async def ask() -> str:
        try:
            token = provider() if asynchronous else await asyncio.to_thread(provider)
            if inspect.isawaitable(token):
                token = await _on_callers_loop(token)
        except Exception as error:
            raise IdentityFailed(f"azure_ad_token_provider: {type(error).__name__}: {error}") from error
        if not isinstance(token, str) or not token.strip() or not token.isascii() or not token.isprintable():
            raise IdentityFailed("azure_ad_token_provider: returned no token")
        return token

    return ask


async def _on_callers_loop(token: Awaitable[str]) -> str:
    """The token, awaited where its provider's own connections belong."""
    loop = origin.get()
    if loop is None or loop.is_closed():
        return await token
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(token), loop))


async def _awaited(token: Awaitable[str]) -> str:
    return await token
