"""What is known of a reply before it comes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.config.deployment import Deployment
from gateway.protocol.calls import Call
from gateway.upstream.redaction import Scrubber


class Expected(msgspec.Struct, frozen=True):
    """What is known of a reply before it comes."""

    call: Call
    deployment: Deployment
    #: Whether the client is not to see the usage of a stream.
    hide_usage: bool
    scrubber: Scrubber
    #: Bytes of a reply that is read as a whole.
    max_reply: int
    #: Called when upstream has begun to answer a stream, with Azure's filter results for example.
    begun: Callable[[], object] = lambda: None
