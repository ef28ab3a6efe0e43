"""The body fields of all operations: what `litellm_params` may carry as a request default."""

from __future__ import annotations

from gateway.protocol.operations import OPERATIONS

_NONE: frozenset[str] = frozenset()
_NUMBERS = _NONE.union(*(operation.body_fields.numbers for operation in OPERATIONS))
_FLAGS = _NONE.union(*(operation.body_fields.flags for operation in OPERATIONS))
_OTHERS = _NONE.union(*(operation.body_fields.others for operation in OPERATIONS))

#: Every name that is a request default somewhere.
ALL_FIELDS = _NUMBERS | _FLAGS | _OTHERS

#: Fields that are numbers in every operation. (`logprobs` is a flag in chat and a number in completions.)
NUMBER_FIELDS = _NUMBERS - _FLAGS - _OTHERS

#: Fields that are flags in every operation.
BOOLEAN_FIELDS = _FLAGS - _NUMBERS - _OTHERS
