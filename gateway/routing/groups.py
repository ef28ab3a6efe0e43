"""Which deployments may answer a call: those of its model, then those of other models to fall back to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.config.deployment import Config, Deployment, RetryPolicy
from gateway.protocol.calls import Call
from gateway.routing.models import Models
from gateway.upstream.adaptation import refusal


class Group(msgspec.Struct, frozen=True):
    """A model's deployments that can answer a call."""

    #: Their `model_name`.
    name: str
    members: Sequence[Deployment]
    #: How often the call is made again after a failure of each kind, whichever of them failed.
    policy: RetryPolicy = msgspec.field(default_factory=dict)


class Groups:
    """Finds the groups of calls by one configuration."""

    def __init__(self, config: Config, models: Models) -> None:
        self._models = models
        self._fallbacks = config.fallbacks
        self._policies = config.retry_policies
        self._special = {
            "context_length_exceeded": config.fallbacks.context_window,
            "content_filter": config.fallbacks.content_policy,
        }
        #: Whether there are deployments that do not take all that others do.
        self._particular = any(
            member.capabilities is not None for group in config.models.values() for member in group
        )

    def of(self, call: Call) -> list[Group]:
        """The deployments of the requested model, and of its fallbacks in their order.

        Raises BadRequest where none of the model's own takes the call.
        """
        model = call.requested_model
        own = self._models.of(self._fallbacks.general, model)
        others = (self._fallbacks.default if own is None else own)[: self._fallbacks.most]
        # A default fallback may be the requested model itself.
        groups = [self._group(name, call) for name in dict.fromkeys((model, *others))]
        if self._particular and not groups[0].members:
            refusals = (refusal(call, each) for each in self._models.able(model, call.operation))
            if (refused := next(filter(None, refusals), None)) is not None:
                raise refused
        return [group for group in groups if group.members]

    def instead(self, call: Call, code: str | None) -> list[Group]:
        """The deployments of the models for prompts that were refused with `code`, in their order."""
        fallbacks = self._special.get(code or "")
        names = None if fallbacks is None else self._models.of(fallbacks, call.requested_model)
        return [self._group(name, call) for name in (names or ())[: self._fallbacks.most]]

    def _group(self, model: str, call: Call) -> Group:
        """The deployments of one model that take the call."""
        members = self._models.able(model, call.operation)
        if self._particular:
            members = [each for each in members if refusal(call, each) is None]
        policy = self._models.of(self._policies.groups, model)
        return Group(
            self._models.model_name(model), members, self._policies.general if policy is None else policy
        )
