"""Response headers of Azure and of OpenAI's platform, in the generations that were recorded."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from simulator.config import Account, Deployment
from simulator.limits import Bucket, Window
from simulator.platform import go_duration

Lines = list[tuple[str, str]]

TRANSPORT_SECURITY = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload")
NO_SNIFF = ("x-content-type-options", "nosniff")
MODEL_SESSION = ("azureml-model-session", "d20260330170902-0e618f323d34")


@dataclass(slots=True)
class Meters:
    """What rate-limit headers report on; None where there is no such limit."""

    requests: Window | None
    tokens: Window | None
    bucket: Bucket | None


def uuid(source: random.Random) -> str:
    """A random id in the form of a UUID."""
    digits = f"{source.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def azure_answer(
    account: Account, deployment: Deployment, meters: Meters, now: float, source: random.Random
) -> Lines:
    """Header lines of a 200, but Content-Type and -Length, in the deployment's generation."""
    limits = rate_limits(deployment, meters, now)
    request_id, region = (
        ("apim-request-id", uuid(source)),
        ("x-ms-region", deployment.region or account.region),
    )
    name = ("x-ms-deployment-name", deployment.name)
    lines: Lines
    if deployment.headers == "2024":
        cors = ("Access-Control-Allow-Origin", "*")
        lines = [*limits, cors, request_id, region, ("x-ms-client-request-id", uuid(source))]
    elif deployment.headers == "2025":
        own_id = ("x-request-id", uuid(source))
        lines = [request_id, region, *limits, name, own_id, MODEL_SESSION, NO_SNIFF, TRANSPORT_SECURITY]
    else:
        lines = [
            TRANSPORT_SECURITY,
            request_id,
            MODEL_SESSION,
            ("skip-error-remapping", "true"),
            ("x-accel-buffering", "no"),
            NO_SNIFF,
            name,
            ("x-ms-is-spilled-over", "false"),
            ("x-ms-rai-invoked", "true"),
            region,
            *limits,
            ("x-request-id", uuid(source)),
        ]
    if meters.bucket is not None:
        lines.append(("azure-openai-deployment-utilization", f"{meters.bucket.utilization(now):.1f}%"))
    return lines


def azure_error(account: Account, deployment: Deployment | None, source: random.Random) -> Lines:
    """Header lines of an error that the resource or the model answers."""
    region = (deployment and deployment.region) or account.region
    return [("apim-request-id", uuid(source)), NO_SNIFF, ("x-ms-region", region), TRANSPORT_SECURITY]


def rate_limits(deployment: Deployment, meters: Meters, now: float) -> Lines:
    """The x-ratelimit lines of the deployment's generation."""
    generation = deployment.headers
    windows = [("requests", meters.requests), ("tokens", meters.tokens)]
    present = [(name, window) for name, window in windows if window is not None]
    if generation == "unlimited":
        return [
            ("x-ratelimit-limit-requests", "-1"),
            ("x-ratelimit-remaining-requests", "-1"),
            ("x-ratelimit-reset-requests", "0"),
        ]
    if generation == "none" or not present:
        return []
    remaining = [(f"x-ratelimit-remaining-{name}", str(window.remaining(now))) for name, window in present]
    if generation == "2024":
        return remaining
    limit = [(f"x-ratelimit-limit-{name}", str(window.limit)) for name, window in present]
    if generation == "2025":
        return limit + remaining
    lines: Lines = [("x-ratelimit-abusepenalty-active", "False"), *limit, *remaining]
    lines += [(f"x-ratelimit-renewalperiod-{name}", f"{window.length_s:g}") for name, window in present]
    # The same header was recorded in milliseconds and in seconds: no client can know which.
    scale = 1000 if generation == "2026-ms" else 1
    lines += [
        (f"x-ratelimit-reset-{name}", str(math.ceil(window.reset_s(now) * scale))) for name, window in present
    ]
    return lines


def platform_answer(meters: Meters, now: float, source: random.Random) -> Lines:
    """Header lines that every answer of OpenAI's platform carries."""
    lines: Lines = [
        ("openai-organization", "org-x"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-request-id", f"req_{source.getrandbits(128):032x}"),
    ]
    for name, window in (("requests", meters.requests), ("tokens", meters.tokens)):
        if window is not None:
            lines += [
                (f"x-ratelimit-limit-{name}", str(window.limit)),
                (f"x-ratelimit-remaining-{name}", str(window.remaining(now))),
                (f"x-ratelimit-reset-{name}", go_duration(window.reset_s(now))),
            ]
    return lines


def spilled(lines: Lines, origin: Deployment, target: Deployment) -> Lines:
    """The lines of an answer that `target` gave in the place of `origin`."""
    replaced = {"x-ms-deployment-name", "x-ms-is-spilled-over"}
    return [
        *(line for line in lines if line[0] not in replaced),
        ("x-ms-spillover-from-deployment", origin.name),
        ("x-ms-deployment-name", target.name),
        ("x-ms-is-spilled-over", "true"),
    ]
