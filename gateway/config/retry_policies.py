"""`retry_policy` and `model_group_retry_policy`: how often a call is made again after which failure."""

from __future__ import annotations

from typing import Any

from gateway.config.deployment import RetryPolicies, RetryPolicy
from gateway.config.document import read_section
from gateway.config.problems import Path
from gateway.config.reading import Reading
from gateway.config.sections import RetryCounts, RouterSettings
from gateway.config.wildcards import ServedNames

_SUFFIX = "Retries"


def read_retry_policies(router: RouterSettings, served: ServedNames, reading: Reading) -> RetryPolicies:
    """Both keys of `router_settings`; a model is a `model_name`, or a name that one of them serves."""
    path: Path = ("router_settings", "retry_policy")
    general = _policy(router.retry_policy, path, reading)
    groups: dict[str, RetryPolicy] = {}
    for model, raw in (router.model_group_retry_policy or {}).items():
        here = ("router_settings", "model_group_retry_policy", model)
        policy = _policy(raw, here, reading)
        if model in served.model_names or model in served:
            groups[model] = policy
        else:
            reading.remark(here, "names a model that is not in model_list; it is left out")
    return RetryPolicies(general, groups)


def _policy(raw: Any, path: Path, reading: Reading) -> RetryPolicy:
    if raw is None:
        return {}
    counts, _ = read_section(RetryCounts, raw, path, reading.problems, reading.unused)
    return {
        name.removesuffix(_SUFFIX): count
        for name in RetryCounts.__struct_fields__
        if (count := getattr(counts, name)) is not None
    }
