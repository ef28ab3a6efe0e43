"""On the real Functions worker runtime: the gateway beside a function that answers without an upstream."""

from __future__ import annotations

import contextlib
import os
import statistics
from pathlib import Path

from benchmarks.programs import ROOT, gateway_config, running
from benchmarks.setting import STREAMS, Bench, call, stream
from benchmarks.tables import table
from benchmarks.traffic import CHUNKS

#: The function that both apps have.
FUNCTION = "chat_completions_v1"
APPS = {"a trivial function": Path(__file__).parent / "trivial", "gateway": ROOT}


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table; nothing is promised."""
    python = Path(os.environ.get("FUNCTIONS_PYTHON") or ROOT / ".venv-functions" / "bin" / "python")
    if not python.exists():
        return f"Not measured: {python} does not exist (it needs Python 3.13).", []
    effort = bench.effort
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in APPS}
    environ = {"GATEWAY_CONFIG": gateway_config(bench.upstream)}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                running([str(python), "-m", "benchmarks.worker", str(folder), FUNCTION], bench.core, environ)
            )
            for name, folder in APPS.items()
        }
        for worker in workers.values():
            call(worker, min(500, effort.requests), 16)
        for _ in range(effort.rounds):
            for name, worker in workers.items():
                begun = worker.cpu()
                call(worker, effort.requests, 16)
                between = worker.cpu()
                stream(worker, effort.streams)
                calls, streams = between - begun, worker.cpu() - between
                figures[name].append((1e3 * calls / effort.requests, 1e3 * streams / effort.streams))
    rows = []
    for name, rounds in figures.items():
        chat, streamed = (statistics.median(one[figure] for one in rounds) for figure in (0, 1))
        rows.append([name, chat, streamed, 1000 * (streamed - chat) / CHUNKS])
    return table(["CPU per", "call, ms (16 at a time)", f"stream, ms ({STREAMS})", "event, µs"], rows), []
