"""The answers that faults hold: ready ones by name, or spelt out."""

from __future__ import annotations

from collections.abc import Callable

from simulator import errors, platform
from simulator.faults import Fault, Preset
from simulator.quota import Quota
from simulator.reply import Refusal
from simulator.routes import Route

#: Seconds after which the scripted limits say to come back.
LIMIT_WAIT_S = 6

PRESETS: dict[Preset, Callable[[], Refusal]] = {
    "server_error": errors.server_error,
    "bad_gateway_html": errors.bad_gateway,
    "unavailable_empty": errors.unavailable,
    "timeout": errors.timeout,
    "no_capacity": errors.no_capacity,
    "network_403": errors.network_denied,
    "rbac_401": errors.lacks_role,
    "token_401": errors.bad_token,
    "key_rotated": errors.access_denied,
    "redirect": errors.redirect,
    "quota_exhausted": platform.quota_exhausted,
}


def scripted_answer(fault: Fault, quota: Quota, route: Route, now: float) -> Refusal | None:
    """The answer that a fault holds; None where it only disturbs the delivery of the real one."""
    if fault.preset == "call_limit":
        refusal = quota.limited("call", LIMIT_WAIT_S, route, now)
    elif fault.preset == "token_limit":
        refusal = quota.limited("token", LIMIT_WAIT_S, route, now)
    elif fault.preset == "key_rotated" and quota.account.kind == "openai":
        refusal = platform.wrong_key("sk-rotated")
    elif fault.preset is not None:
        refusal = PRESETS[fault.preset]()
    elif fault.status is not None:
        refusal = errors.scripted(fault, fault.status)
    else:
        return None
    named = {name.lower() for name in fault.headers}
    refusal.headers = [line for line in refusal.headers if line[0].lower() not in named]
    refusal.headers += fault.headers.items()
    return refusal
