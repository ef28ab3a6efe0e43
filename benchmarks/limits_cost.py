"""What limits cost: CPU per call beside the same gateway without them, and CPU per second for the storage.

"Off" is the least that the gateway can do: `simple-shuffle`, no rpm or tpm, counts in memory. "Memory" has
limits and the default choice; "tables" shares them through Table Storage as well (Azurite, another process).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.programs import ROOT, Program, serve_command, started, wait_for
from benchmarks.setting import STREAMS, Bench, call, stream
from benchmarks.tables import table
from benchmarks.traffic import CLIENT_KEY, DEPLOYMENT, MODEL, PATH, UPSTREAM_KEY, request
from simulator.ports import free_port

AZURITE = ROOT / ".azurite" / "azurite-table"
#: Azurite's account and key; Microsoft documents them.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

#: CPU of a call with limits, in those of one without; CPU milliseconds per second for the storage.
MOST = 1.15
MOST_STORAGE = 15.0
CASES = {"1": "1 at a time", "16": "16", "stream": f"stream, {STREAMS} at a time"}
#: Seconds between calls where the storage's share is measured, and in which nothing may happen when idle.
PAUSE = 0.05
SETTLED = 0.5
IDLE = 3.0


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The tables, and which promises were not kept. Needs Azurite: scripts/azurite.sh installs it."""
    effort = bench.effort
    with contextlib.ExitStack() as stack:
        storage = {"AzureWebJobsStorage": stack.enter_context(_azurite())}
        programs = {
            "off": stack.enter_context(_gateway(bench, limits=False)),
            "memory": stack.enter_context(_gateway(bench, limits=True)),
            "tables": stack.enter_context(_gateway(bench, limits=True, environ=storage)),
        }
        for program in programs.values():
            call(program, min(500, effort.requests), 16)
            stream(program, STREAMS)
        costs: dict[tuple[str, str], list[float]] = {(name, case): [] for name in programs for case in CASES}
        paced: dict[str, list[float]] = {"memory": [], "tables": []}
        for number in range(effort.rounds):
            names = list(programs) if number % 2 == 0 else list(reversed(programs))
            for case in CASES:
                for name in names:
                    costs[name, case].append(_cost(bench, programs[name], case))
            for name in names:
                if name in paced:
                    paced[name].append(_paced(programs[name], max(10, effort.requests // 20)))
        # What the last calls left is written a moment after them.
        time.sleep(SETTLED)
        before = _operations(programs["tables"])
        time.sleep(IDLE)
        idle = _operations(programs["tables"]) - before
    return report(costs, paced, idle)


def report(
    costs: dict[tuple[str, str], list[float]], paced: dict[str, list[float]], idle: int
) -> tuple[str, list[str]]:
    """The tables, and which promises were not kept."""
    broken: list[str] = []
    rows: list[list[object]] = []
    for case, title in CASES.items():
        medians = [statistics.median(costs[name, case]) for name in ("off", "memory", "tables")]
        ratios = []
        for name in ("memory", "tables"):
            pairs = zip(costs[name, case], costs["off", case], strict=True)
            ratios.append(statistics.median(on / off for on, off in pairs))
        # So few streams a second carry the storage's cost, which is one of seconds and is held as such below.
        held = ratios[0] if case == "stream" else ratios[1]
        if held > MOST:
            broken.append(f"CPU per call with limits ({case}): {held:.2f} x that without, at most {MOST} x")
        rows.append([title, *medians, *ratios])
    pairs = zip(paced["tables"], paced["memory"], strict=True)
    share = statistics.median(tables - memory for tables, memory in pairs)
    if share > MOST_STORAGE:
        broken.append(f"CPU for the storage: {share:.1f} ms per second, at most {MOST_STORAGE} ms")
    if idle:
        broken.append(f"storage operations when idle: {idle}, at most 0")
    first = table(
        ["CPU ms per call, median", "off", "memory", "tables", "memory / off", "tables / off"], rows
    )
    second = table(
        ["storage of one instance", "measured", "must be at most"],
        [
            [f"CPU ms per second, a call every {1000 * PAUSE:.0f} ms", share, MOST_STORAGE],
            [f"operations in {IDLE:.0f} s without calls", idle, 0],
        ],
    )
    return f"{first}\n\n{second}", broken


def _cost(bench: Bench, program: Program, case: str) -> float:
    """CPU milliseconds per call."""
    before = program.cpu()
    if case == "stream":
        total = bench.effort.streams
        stream(program, total)
    else:
        total = bench.effort.requests
        call(program, total, int(case))
    return 1000 * (program.cpu() - before) / total


def _paced(program: Program, total: int) -> float:
    """CPU milliseconds per second while a call comes every PAUSE, all on one connection."""
    sent = request(PATH, stream=False)
    with socket.create_connection(("127.0.0.1", program.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cpu, wall = program.cpu(), time.perf_counter()
        for number in range(total):
            connection.sendall(sent)
            # The reply is small, and looked at by the other measures.
            connection.recv(65536)
            time.sleep(max(0.0, wall + (number + 1) * PAUSE - time.perf_counter()))
        return 1000 * (program.cpu() - cpu) / (time.perf_counter() - wall)


def _operations(program: Program) -> int:
    """Storage operations of a gateway so far."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=10)
    try:
        # GET /gateway/deployments would read the others' rows first.
        connection.request("GET", "/readyz", headers={"authorization": f"Bearer {CLIENT_KEY}"})
        state = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return sum(state["storage"]["operations"].values())


@contextlib.contextmanager
def _gateway(bench: Bench, *, limits: bool, environ: dict[str, str] | None = None) -> Iterator[Program]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(_config(bench.upstream, limits=limits), encoding="utf-8")
        port = free_port()
        command = [*serve_command(config), "--port", str(port)]
        with (
            (Path(folder) / "log").open("wb") as log,
            started(command, bench.core, environ, stdout=log.fileno()) as process,
        ):
            wait_for(port, process)
            yield Program(port, process.pid)


def _config(upstream: Program, *, limits: bool) -> str:
    members: list[dict[str, Any]] = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"azure/{DEPLOYMENT}",
                "api_base": f"http://127.0.0.1:{upstream.port}",
                "api_key": UPSTREAM_KEY,
            },
        }
        for _ in range(2)
    ]
    document: dict[str, Any] = {"model_list": members, "general_settings": {"master_key": CLIENT_KEY}}
    if limits:
        for member, share in zip(members, (1, 2), strict=True):
            member["litellm_params"] |= {"rpm": 100_000 * share, "tpm": 100_000_000 * share}
    else:
        document["router_settings"] = {"routing_strategy": "simple-shuffle"}
    return json.dumps(document)


@contextlib.contextmanager
def _azurite() -> Iterator[str]:
    """A running Azurite's connection string. Raises RuntimeError where it is not installed."""
    if not AZURITE.exists():
        raise RuntimeError("Azurite is not installed: run scripts/azurite.sh .azurite")
    port = free_port()
    command = [str(AZURITE), "--tableHost", "127.0.0.1", "--tablePort", str(port)]
    command += ["--inMemoryPersistence", "--silent", "--disableTelemetry"]
    with (
        tempfile.TemporaryFile("w+b") as output,
        # Beside the load generator: this process's core.
        started(command, None, stdout=output.fileno()) as process,
    ):
        wait_for(port, process)
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
            f"TableEndpoint=http://127.0.0.1:{port}/{_ACCOUNT};"
        )
