"""When a call is made again after a failure, and when all deployments may be tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.config.deployment import RetryPolicy
from gateway.limits.tokens.outcome import Result
from gateway.limits.tokens.signals import COOLDOWN_LONGEST
from gateway.routing.groups import Group
from gateway.routing.progress import Progress
from gateway.upstream.answers import Answer, WholeAnswer
from gateway.upstream.verdicts import AttemptFailed

#: Backoff before a lone deployment is tried again: doubles from the first to the longest, in seconds.
BACKOFF_FIRST = 0.5
BACKOFF_LONGEST = 8.0
#: Shortest wait for room, in seconds.
WAIT_SHORTEST = 0.01

#: Kinds of failures that a status tells, and the kind of any failure.
_BY_STATUS = {
    401: "AuthenticationError",
    404: "NotFoundError",
    408: "TimeoutError",
    504: "TimeoutError",
}
_ANY = "Default"

_RETRIED = frozenset({Result.UNREACHABLE, Result.TORN, Result.FAILED, Result.LOCAL})


def calls_left(group: Group, progress: Progress) -> int | None:
    """How many calls the group's policy still lets follow the last failure; None where it does not say."""
    calls = progress.calls.get(group.name, 0)
    if not calls or not progress.failures:
        return None
    kinds = _kinds_of(progress.failures[-1].error)
    allowed = next((group.policy[kind] for kind in kinds if kind in group.policy), None)
    return None if allowed is None else max(0, allowed + 1 - calls)


def timeouts_allowed(policy: RetryPolicy) -> int:
    """How many time-outs a request may meet. After the first, upstream may have answered, and billed it."""
    return max(2, policy.get("TimeoutError", policy.get(_ANY, 0)) + 1)


def refused_again(answer: Answer, group: Group, progress: Progress) -> bool:
    """Whether the policy lets a call be made again that upstream has refused with 400."""
    if not isinstance(answer, WholeAnswer) or answer.status != 400 or progress.over:
        return False
    if answer.code == "context_length_exceeded":
        # It is as long the next time.
        return False
    kind = "ContentPolicyViolationError" if answer.code == "content_filter" else "BadRequestError"
    return progress.calls.get(group.name, 0) <= group.policy.get(kind, 0)


def _kinds_of(failed: AttemptFailed) -> tuple[str, ...]:
    """LiteLLM's words for a failure, the closest first."""
    if failed.result is Result.LIMITED:
        return "RateLimitError", _ANY
    if failed.result is Result.TIMEOUT:
        return "TimeoutError", _ANY
    if (kind := _BY_STATUS.get(failed.status or 0)) is not None:
        return kind, _ANY
    if failed.result is not Result.FAILED:
        return (_ANY,)
    unavailable = ("ServiceUnavailableError",) if failed.status == 503 else ()
    return *unavailable, "InternalServerError", _ANY


def pause_before(
    progress: Progress, groups: Sequence[Group], num_retries: int, random: Callable[[], float]
) -> float | None:
    """Seconds after which all may be tried again; None when that is of no use, or takes too long.

    `num_retries` is how often a lone deployment may be tried again where no policy says it. `random` gives
    [0, 1).
    """
    room_in = None if progress.room is None else max(progress.room.seconds, WAIT_SHORTEST)
    if room_in is not None and room_in <= progress.waiting_left:
        pause = room_in
        progress.waiting_left -= pause
    elif progress.failures and (longest := _longest_pause(progress, groups, num_retries)):
        last = progress.failures[-1].error
        backoff = min(BACKOFF_FIRST * 2**progress.retries, BACKOFF_LONGEST)
        pause = last.outcome.retry_after or backoff * (1 - 0.25 * random())
        # This call and others may have begun its cooldown.
        pause = max(pause, progress.healthy_in or 0.0)
        if last.result is Result.LIMITED:
            pause = max(pause, room_in or 0.0)
        if pause > longest:
            return None
        progress.retries += 1
    else:
        return None
    return pause if pause < progress.deadline.left else None


def _longest_pause(progress: Progress, groups: Sequence[Group], num_retries: int) -> float | None:
    """Seconds for which a retry is waited for; None where there is none."""
    left = [each for group in groups if (each := calls_left(group, progress)) is not None]
    if left:
        # Asked for by kind: then the time that upstream names is waited for, too.
        return COOLDOWN_LONGEST if max(left) > 0 else None
    retried = progress.failures[-1].result in _RETRIED
    return BACKOFF_LONGEST if retried and progress.retries < num_retries else None
