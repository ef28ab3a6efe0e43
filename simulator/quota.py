"""A deployment's limits at work: admission, the 429 and its many retry headers."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import Any, Literal

from simulator import platform
from simulator.config import Account, Deployment, Kind
from simulator.errors import azure
from simulator.headers import Meters, rate_limits
from simulator.limits import NEVER, Bucket, Window, charge, request_window_limit
from simulator.prompts import prompt_characters
from simulator.reply import Refusal
from simulator.routes import Route

#: Operations as the texts of 429s call them; the last is assumed.
OPERATION_NAMES: dict[Kind, str] = {
    "chat": "ChatCompletions_Create",
    "completions": "Completions_Create",
    "embeddings": "Embeddings_Create",
    "speech": "AudioSpeech_Create",
    "moderations": "Moderations_Create",
}


class Quota:
    """Counts what a deployment is asked for and refuses what is too much."""

    def __init__(self, account: Account, deployment: Deployment) -> None:
        """Begin with empty windows."""
        self.account = account
        self.deployment = deployment
        limits = deployment.limits
        requests = tokens = bucket = None
        if limits.rpm is not None:
            per_window = request_window_limit(limits.rpm, limits.rpm_window_s)
            requests = Window(per_window, limits.rpm_window_s, limits.phase_s, limits.windows)
        if limits.tpm is not None and deployment.ptu:
            bucket = Bucket(limits.tpm)
        elif limits.tpm is not None:
            tokens = Window(limits.tpm, 60, limits.phase_s, limits.windows)
        self.meters = Meters(requests, tokens, bucket)

    def estimate(self, body: dict[str, Any], route: Route) -> int:
        """Tokens charged on arrival; survives values of any type, which are refused later."""
        if route.kind == "speech":
            return 0
        default = self.deployment.limits.default_max_tokens if route.kind in ("chat", "completions") else 0
        bound = body.get("max_completion_tokens") or body.get("max_tokens")
        best_of = body.get("best_of")
        return charge(
            prompt_characters(body),
            max(0, bound) if isinstance(bound, int) else None,
            max(1, best_of) if isinstance(best_of, int) else 1,
            default,
        )

    def admit_request(self, route: Route, now: float) -> None:
        """Count one request, whatever becomes of it; raises the 429 Refusal."""
        bucket = self.meters.bucket
        if bucket is not None and bucket.wait(now) > 0:
            raise self.busy(bucket.wait(now), route)
        requests = self.meters.requests
        if requests is None:
            return
        wait = requests.wait(now, 1)
        if wait > 0:
            raise self.limited("call", wait, route, now)
        requests.add(now, 1)

    def admit_tokens(self, route: Route, amount: int, now: float) -> None:
        """Charge an estimate of tokens; raises the 429 Refusal."""
        if self.meters.bucket is not None:
            # Provisioned throughput admits while it is not above 100 %, and may overshoot.
            self.meters.bucket.add(now, amount)
            return
        tokens = self.meters.tokens
        if tokens is None:
            return
        wait = tokens.wait(now, amount)
        if wait > 0:
            raise self.limited("token", wait, route, now, amount)
        tokens.add(now, amount)

    def settle(self, charged: int, used: int, now: float) -> None:
        """Correct provisioned throughput to what a call used; the minute's counter keeps its estimate."""
        if self.meters.bucket is not None:
            self.meters.bucket.add(now, used - charged)

    def limited(
        self, what: Literal["token", "call"], wait_s: float, route: Route, now: float, requested: int = 1
    ) -> Refusal:
        """The 429 for the `token` or `call` limit, in the configured text and with its retry headers."""
        if self.account.kind == "openai":
            window = self.meters.tokens if what == "token" else self.meters.requests
            limit, used = (window.limit, int(window.used)) if window else (0, 0)
            return platform.limited(
                what, self.deployment.model, limit=limit, used=used, requested=requested, wait_s=wait_s
            )
        deployment, limits = self.deployment, self.deployment.limits
        seconds = NEVER if limits.retry_headers == "day" else math.ceil(wait_s)
        unit = "second" if seconds == 1 else "seconds"
        operation = OPERATION_NAMES[route.kind]
        if limits.text == "old":
            code = "429"
            message = (
                f"Requests to the {operation} Operation under Azure OpenAI API version {route.version} have "
                f"exceeded {what} rate limit of your current OpenAI S0 pricing tier. Please retry after "
                f"{seconds} {unit}. Please go here: https://aka.ms/oai/quotaincrease if you would like to "
                "further increase the default rate limit."
            )
        else:
            code = "RateLimitReached"
            message = (
                f"Your requests to {deployment.name} for {deployment.model} in "
                f"{deployment.region or self.account.region} have exceeded the {what} rate limit for your "
                f"current OpenAI S0 pricing tier. This request was for {operation} under Azure OpenAI API "
                f"version {route.version}. Please retry after {seconds} {unit}. To increase your default "
                "rate limit, visit: https://aka.ms/oai/quotaincrease."
            )
        lines = [*self.retry_lines(seconds, wait_s, now), *rate_limits(deployment, self.meters, now)]
        if deployment.headers in ("2026-ms", "2026-s"):
            lines += [
                ("policy-id", f"DeploymentRatelimit-{what.capitalize()}"),
                ("x-ratelimit-type", "Tokens" if what == "token" else "Requests"),
            ]
        return azure(429, code, message, headers=lines)

    def retry_lines(self, seconds: int, wait_s: float, now: float) -> list[tuple[str, str]]:
        """The retry headers that the configuration chose."""
        choice = self.deployment.limits.retry_headers
        if choice == "none":
            return []
        if choice == "date":
            return [("retry-after", formatdate(math.ceil(now + wait_s), usegmt=True))]
        exact = seconds * 1000 if choice == "day" else math.ceil(wait_s * 1000)
        milliseconds = ("retry-after-ms", "0" if choice == "zero_ms" else str(exact))
        whole = ("retry-after", str(seconds))
        if choice == "seconds":
            return [whole]
        return [milliseconds] if choice == "milliseconds" else [whole, milliseconds]

    def busy(self, wait_s: float, route: Route) -> Refusal:
        """The 429 of provisioned throughput above 100 % (the text is assumed)."""
        milliseconds = max(1, math.ceil(wait_s * 1000))
        message = (
            f"Requests to the {OPERATION_NAMES[route.kind]} Operation under Azure OpenAI API version "
            f"{route.version} have exceeded the provisioned throughput of this deployment. Please retry "
            f"after {milliseconds} milliseconds."
        )
        return azure(
            429,
            "429",
            message,
            headers=[
                ("retry-after-ms", str(milliseconds)),
                ("retry-after", str(math.ceil(milliseconds / 1000))),
            ],
        )
