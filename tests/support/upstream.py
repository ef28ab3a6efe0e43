"""The simulator's and the gateway's configuration for the tests of the running gateway.

Nearly every test takes a model of its own from a pool (`Pool.solo()`, `.pair()`, `.six()`), whose deployments nobody
else calls: what the simulator has logged for them, and what the gateway remembers of them, is that test's alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from simulator.ports import closed_port
from simulator.testing import Running
from support.calls import KEY, wait_for

#: Secrets and names that no client may ever see.
AZURE_KEY = "azure-key-of-the-operator"
PLATFORM_KEY = "sk-key-of-the-operator"
SECRETS = (AZURE_KEY, PLATFORM_KEY, KEY, "127.0.0.1", "deployment-", "/openai/deployments", "Traceback")

#: Enough for all of tests/flows in one process.
SOLO, PAIRS, SIXES = 320, 300, 10
POOL = SOLO + 2 * PAIRS + 6 * SIXES


#: Deployments of reasoning models, and what each of them does not take.
REASONING = {
    "o1": {"model": "o1", "streams": False},
    "o1-mini": {"model": "o1-mini", "streams": False, "system_messages": False},
    "o1-slow": {"model": "o1", "streams": False, "latency": {"first_ms": [2000, 2000]}},
    "o3-mini": {"model": "o3-mini"},
}


@dataclass(frozen=True)
class Model:
    """A model of the gateway and the deployments behind it, in the order in which they are tried."""

    name: str
    deployments: tuple[str, ...]


def simulator_config() -> dict[str, Any]:
    """Deployments for the pool, and one or two of every other kind."""
    kinds = {
        "speech": "tts-1",
        "embeddings": "text-embedding-3-small",
        "completions": "gpt-35-turbo-instruct",
    }
    azure = [{"name": f"deployment-{number}", "model": "gpt-4o"} for number in range(POOL)]
    azure += [{"name": f"deployment-{kind}", "model": model, "kind": kind} for kind, model in kinds.items()]
    for name in ("default", "old", "v1", "defaults", "filtered"):
        azure.append({"name": f"deployment-{name}", "model": "gpt-4o"})
    for group in ("weighted", "rpm", "tpm", "even"):
        azure += [{"name": f"deployment-{group}-{letter}", "model": "gpt-4o"} for letter in "ab"]
    slow = {"first_ms": [300, 300], "token_ms": [60, 60]}
    azure.append({"name": "deployment-slow", "model": "gpt-4o", "latency": slow, "answer_tokens": 20})
    azure.append({"name": "deployment-long", "model": "gpt-4o", "answer_tokens": 400})
    azure.append({"name": "deployment-retried", "model": "gpt-4o"})
    drops = {"token_ms": [250, 250]}
    azure.append({"name": "deployment-dripping", "model": "gpt-4o", "latency": drops, "answer_tokens": 60})
    speech = {"name": "deployment-slow-speech", "model": "tts-1", "kind": "speech"}
    azure.append(speech | {"latency": {"token_ms": [100, 100]}})
    azure.append(
        {"name": "deployment-octets", "model": "tts-1", "kind": "speech", "audio_type": "octet-stream"}
    )
    azure.append({"name": "deployment-voice", "model": "gpt-4o-mini-tts", "kind": "speech"})
    for name, more in REASONING.items():
        azure.append({"name": f"deployment-{name}", "reasoning": True, **more})
    platform = [
        {"name": "gpt-4o-mini", "model": "gpt-4o-mini"},
        {"name": "omni-moderation", "model": "omni-moderation-latest", "kind": "moderations"},
    ]
    return {
        "log_size": 100_000,
        "accounts": [
            {"name": "azure", "keys": [AZURE_KEY], "deployments": azure},
            {"name": "platform", "kind": "openai", "keys": [PLATFORM_KEY], "deployments": platform},
        ],
    }


def member(name: str, deployment: str, base: str, /, **params: Any) -> dict[str, Any]:
    """One entry of the gateway's model_list; keyword arguments go into litellm_params."""
    azure = {"model": f"azure/{deployment}", "api_base": base, "api_key": AZURE_KEY}
    return {"model_name": name, "litellm_params": azure | params}


def pool_models() -> list[Model]:
    numbers = itertools.count()

    def take(count: int) -> tuple[str, ...]:
        return tuple(f"deployment-{next(numbers)}" for _ in range(count))

    models = [Model(f"solo-{index}", take(1)) for index in range(SOLO)]
    models += [Model(f"pair-{index}", take(2)) for index in range(PAIRS)]
    return models + [Model(f"six-{index}", take(6)) for index in range(SIXES)]


def gateway_config(base: str, **more: Any) -> dict[str, Any]:
    """The gateway's configuration in front of a simulator at `base`; keyword arguments are further sections."""
    entries = [
        member(model.name, deployment, base, order=order)
        for model in pool_models()
        for order, deployment in enumerate(model.deployments, 1)
    ]
    nowhere = f"http://127.0.0.1:{closed_port()}"
    entries += [
        member("gpt-4o", "deployment-default", base),
        member("azure/tts-1", "deployment-speech", base),
        member("slow-speech", "deployment-slow-speech", base),
        member("voice", "deployment-voice", base),
        member("octets", "deployment-octets", base),
        member("embed", "deployment-embeddings", base),
        member("instruct", "deployment-completions", base, model="azure_text/deployment-completions"),
        member("mini", "", f"{base}/v1", model="openai/gpt-4o-mini", api_key=PLATFORM_KEY),
        member(
            "omni-moderation-latest",
            "",
            f"{base}/v1",
            model="openai/omni-moderation",
            api_key=PLATFORM_KEY,
        ),
        member("v1", "deployment-v1", base, api_version="v1"),
        member("old", "deployment-old", base, api_version="2024-06-01"),
        member("defaults", "deployment-defaults", base, temperature=0.25, user="configured"),
        member("slow", "deployment-slow", base),
        member("long", "deployment-long", base),
        member("any/*", "deployment-*", base),
        member("retried", "deployment-retried", base),
        member("one-at-a-time", "deployment-dripping", base, max_parallel_requests=1),
        member("filtered", "deployment-filtered", base),
        member("weighted", "deployment-weighted-a", base, weight=3),
        member("weighted", "deployment-weighted-b", base, rpm=1000),
        member("by-rpm", "deployment-rpm-a", base, rpm=900),
        member("by-rpm", "deployment-rpm-b", base, rpm=300),
        member("by-tpm", "deployment-tpm-a", base, tpm=9000),
        member("by-tpm", "deployment-tpm-b", base, tpm=3000),
        member("even", "deployment-even-a", base),
        member("even", "deployment-even-b", base),
        member("nowhere", "deployment-nowhere", nowhere),
        member("half-nowhere", "deployment-nowhere", nowhere, order=1),
        member("half-nowhere", "deployment-default", base, order=2),
        member("missing", "deployment-that-is-not-there", base),
        member("wrong-key", "deployment-default", base, api_key="not-the-key"),
        member("wrong-version", "deployment-default", base, api_version="2022-12-01"),
        member("wrong-v1-version", "deployment-v1", f"{base}/openai/v1", api_version="preview"),
        member("odd/name with space/x", "deployment-default", base),
        member(
            "vision",
            "deployment-default",
            f"{base}/openai/deployments/deployment-default/extensions",
            api_version="2023-12-01-preview",
        ),
        member("mixed", "deployment-default", base, order=1),
        member(
            "mixed",
            "",
            f"{base}/v1",
            model="openai/gpt-4o-mini",
            api_key=PLATFORM_KEY,
            organization="org-of-ours",
            order=2,
        ),
        member("o1", "", base, model="azure/o_series/deployment-o1"),
        member("o1-dropping", "deployment-o1", base, base_model="azure/o1", drop_params=True),
        member("o1-mini", "deployment-o1-mini", base, base_model="azure/o1-mini"),
        member("o1-slow", "deployment-o1-slow", base, base_model="o1-2024-12-17"),
        member("o3-mini", "deployment-o3-mini", base, base_model="o3-mini"),
        member("unnamed-o1", "deployment-o1", base),
        member("o1-or-mini", "deployment-o1", base, base_model="o1", order=1),
        member("o1-or-mini", "", f"{base}/v1", model="openai/gpt-4o-mini", api_key=PLATFORM_KEY, order=2),
    ]
    policies = {"retried": {"AuthenticationErrorRetries": 1}}
    return {
        "model_list": entries,
        "router_settings": {"model_group_retry_policy": policies},
        "general_settings": {"master_key": KEY},
    } | more


class Pool:
    """Hands out models that nobody has used yet, and shows what their deployments have seen."""

    def __init__(self, simulator: Running) -> None:
        self.simulator = simulator
        models = pool_models()
        self._solo = iter(models[:SOLO])
        self._pairs = iter(models[SOLO : SOLO + PAIRS])
        self._sixes = iter(models[SOLO + PAIRS :])

    def solo(self, *faults: dict[str, Any]) -> Model:
        """A model with one deployment, whose next requests meet `faults`."""
        model = next(self._solo)
        self.simulator.fault(model.deployments[0], *faults)
        return model

    def pair(self, *faults: dict[str, Any]) -> Model:
        """A model whose second deployment is used when the first, which meets `faults`, fails."""
        model = next(self._pairs)
        self.simulator.fault(model.deployments[0], *faults)
        return model

    def six(self) -> Model:
        """A model with six deployments of falling precedence."""
        return next(self._sixes)

    def log(self, *deployments: str) -> list[dict[str, Any]]:
        """The requests that these deployments got, oldest first."""
        return self.simulator.log_of(*deployments)

    def completed(self, deployment: str, number: int) -> float:
        """The moment at which a deployment had sent all of a reply. A client may have read it before that is logged."""
        assert wait_for(lambda: self.log(deployment)[number]["completed"])
        return self.log(deployment)[number]["completed"]

    def counts(self, model: Model) -> list[int]:
        """How many requests each deployment of a model got."""
        return [len(self.log(deployment)) for deployment in model.deployments]
