"""Cold start: from the start of the process to the first answered chat call, beside bare imports."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import load
from benchmarks.programs import (
    ROOT,
    Program,
    free_port,
    gateway_config,
    on_core,
    serve_command,
    started,
    wait_for,
)
from benchmarks.setting import Bench
from benchmarks.tables import table
from benchmarks.traffic import PATH, request

#: CPU seconds that a cold start may cost beyond the imports.
LIMIT = 0.1

#: The packages that a gateway of this kind cannot do without, as it would import them. What it prints is
#: the CPU time of the process so far.
IMPORTS = """
import azure.functions, starlette.requests, starlette.responses, httpx, httptools, pydantic, yaml
import aiohttp.web_server
import time
print(time.process_time())
"""
_IMPORT_COMMAND = [sys.executable, "-c", IMPORTS]


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table, and which promises were not kept."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(gateway_config(bench.upstream), encoding="utf-8")
        starts = [(_import(bench.core), _start(bench.core, config)) for _ in range(bench.effort.starts)]
    excess = statistics.median(start[0] - bare[0] for bare, start in starts)
    rows = [
        [title, *(statistics.median(one[column][figure] for one in starts) for figure in (0, 1))]
        for column, title in ((0, "imports only"), (1, "gateway, to the first chat 200"))
    ]
    kept = excess <= LIMIT
    rows.append([f"difference, at most {LIMIT} s CPU: {'kept' if kept else 'NOT KEPT'}", excess, ""])
    broken = [] if kept else [f"cold start: {excess:.3f} s of CPU above the imports, at most {LIMIT} s"]
    return table(["cold start, median", "CPU s", "wall s"], rows), broken


def _import(core: int | None) -> tuple[float, float]:
    """CPU and wall seconds of the imports alone."""
    begun = time.perf_counter()
    with on_core(core):
        done = subprocess.run(_IMPORT_COMMAND, cwd=ROOT, check=True, capture_output=True)  # noqa: S603  our own text
    return float(done.stdout), time.perf_counter() - begun


def _start(core: int | None, config: Path) -> tuple[float, float]:
    """CPU and wall seconds of a gateway until a chat call is answered."""
    port = free_port()
    begun = time.perf_counter()
    command = [*serve_command(config), "--port", str(port)]
    with started(command, core, stdout=subprocess.DEVNULL) as process:
        wait_for(port, process)
        result = load.run(port, request(PATH, stream=False), 1, 1)
        wall = time.perf_counter() - begun
        cpu = Program(port, process.pid).cpu()
    if result.replies != 1:
        raise RuntimeError("the first chat call failed")
    return cpu, wall
