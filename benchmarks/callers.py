"""What knowing a caller costs: CPU per call by the master key, by a client's key and by a token of Entra ID.

"Few" is a gateway with one client that has seen one token; "many" has 200 clients and knows 2,000 tokens.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.programs import ROOT, Program, gateway_config, serve_command, started, wait_for
from benchmarks.setting import Bench
from benchmarks.tables import table
from benchmarks.traffic import CLIENT_KEY, PATH, request
from gateway.auth.keys import hash_of
from simulator.ports import free_port

#: CPU of a call by a client's key and by a token, in that of one by the master key; the share by which many
#: clients and tokens may change either.
MOST_KEY = 1.05
MOST_TOKEN = 1.1
MOST_CHANGE = 0.05
CLIENTS = 200
TOKENS = 2000
KEY = "key-of-client-0"
CONCURRENCY = 16
#: Calls of one case in a row: so few that whatever else the machine does is in all cases alike.
SLICE = 125


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table, and which promises were not kept."""
    sys.path.insert(0, str(ROOT / "tests"))
    cloud_of: Any = importlib.import_module("doubles.cloud").running_cloud
    costs: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, cloud_of(Path(folder)) as cloud:
        tokens = {"few": 1, "many": min(TOKENS, bench.effort.many_requests)}
        credentials = {"master": CLIENT_KEY, "client": KEY, "token": cloud.entra.issue(roles=["Chat"])}
        with contextlib.ExitStack() as stack:
            programs = {
                name: stack.enter_context(_gateway(bench, Path(folder) / name, cloud, count))
                for name, count in (("few", 1), ("many", CLIENTS))
            }
            for name, program in programs.items():
                for number in range(tokens[name]):
                    token = cloud.entra.issue(roles=["Chat"], uti=str(number))
                    _call(program, token, 1)
                for credential in credentials.values():
                    _call(program, credential, min(300, bench.effort.requests))
            cases = [(name, kind) for name in programs for kind in credentials]
            size = min(SLICE, bench.effort.requests)
            for number in range(bench.effort.rounds * bench.effort.requests // size):
                # Each case comes first, second, ... equally often.
                for name, kind in cases[number % len(cases) :] + cases[: number % len(cases)]:
                    program = programs[name]
                    before = program.cpu()
                    _call(program, credentials[kind], size)
                    spent = 1000 * (program.cpu() - before) / size
                    costs.setdefault((name, kind), []).append(spent)
    return report(costs)


def report(costs: dict[tuple[str, str], list[float]]) -> tuple[str, list[str]]:
    """The table, and which promises were not kept."""

    def ratio(one: tuple[str, str], other: tuple[str, str]) -> float:
        return statistics.median(a / b for a, b in zip(costs[one], costs[other], strict=True))

    broken: list[str] = []
    rows: list[list[object]] = []
    for kind, most in (("master", 1.0), ("client", MOST_KEY), ("token", MOST_TOKEN)):
        to_master = ratio(("few", kind), ("few", "master"))
        to_few = ratio(("many", kind), ("few", kind))
        if to_master > most:
            broken.append(f"CPU per call by {kind}: {to_master:.3f} x the master key's, at most {most} x")
        if kind != "master" and to_few > 1 + MOST_CHANGE:
            broken.append(f"CPU per call by {kind} with many: {to_few:.3f} x, at most {1 + MOST_CHANGE} x")
        medians = [statistics.median(costs[name, kind]) for name in ("few", "many")]
        rows.append([kind, *medians, to_master, to_few])
    return table(["CPU ms per call, median", "few", "many", "/ master", "many / few"], rows), broken


@contextlib.contextmanager
def _gateway(bench: Bench, folder: Path, cloud: Any, clients: int) -> Iterator[Program]:
    """A gateway with so many clients, the first of which has a key and all tokens."""
    folder.mkdir()
    document = json.loads(gateway_config(bench.upstream))
    document["clients"] = [
        {"name": f"client-{number}", "keys": [hash_of(f"key-of-client-{number}")]}
        for number in range(clients)
    ]
    document["entra"] = {
        "tenant_id": cloud.entra.tenant,
        "audience": "api://gateway",
        "clients": [{"client": "client-0", "roles": ["Chat"]}],
    }
    config, port = folder / "config.json", free_port()
    config.write_text(json.dumps(document), encoding="utf-8")
    environ = {name: value for name, value in cloud.environment.items() if name != "KEY_VAULT_URL"}
    command = [*serve_command(config), "--port", str(port)]
    with (
        (folder / "log").open("wb") as log,
        started(command, bench.core, environ, stdout=log.fileno()) as process,
    ):
        wait_for(port, process)
        yield Program(port, process.pid)


def _call(program: Program, credential: str, total: int) -> None:
    sent = request(PATH, stream=False).replace(CLIENT_KEY.encode(), credential.encode())
    result = load.run(program.port, sent, total, min(total, CONCURRENCY))
    if result.errors or result.replies != total:
        raise RuntimeError(f"{result.errors} of {total} requests failed")
