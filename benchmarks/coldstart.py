"""Cold start: from the start of the process to the first answered chat call, beside bare imports.

With a key in the configuration, and with the configuration in a vault and a managed identity for everything.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.programs import (
    ROOT,
    Program,
    gateway_config,
    on_core,
    serve_command,
    started,
    wait_for,
)
from benchmarks.setting import Bench
from benchmarks.tables import table
from benchmarks.traffic import CLIENT_KEY, PATH, request
from simulator.ports import free_port

#: CPU seconds that a cold start may cost beyond the imports.
LIMIT = 0.1

#: What a gateway of this kind imports, and what ours imported, too, when the bar was set.
_NEEDED = "azure.functions, starlette.requests, starlette.responses, httptools, yaml, aiohttp.web_server"
_FORMER = "httpx, pydantic"


def measure(bench: Bench) -> tuple[str, list[str]]:
    """The table, and which promises were not kept."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(gateway_config(bench.upstream), encoding="utf-8")
        with _keyless(bench, Path(folder)) as environ:
            starts = [
                (
                    _import(bench.core, f"{_NEEDED}, {_FORMER}"),
                    _start(bench.core, serve_command(config), {}),
                    _start(bench.core, serve_command(None), environ),
                    _import(bench.core, _NEEDED),
                )
                for _ in range(bench.effort.starts)
            ]
    excess = statistics.median(start[0] - bare[0] for bare, start, *_ in starts)
    rows = [
        [title, *(statistics.median(one[column][figure] for one in starts) for figure in (0, 1))]
        for column, title in (
            (0, "imports only"),
            (3, f"the same without {_FORMER}, which the gateway does not import"),
            (1, "gateway, to the first chat 200"),
            (2, "the same with vault and managed identity"),
        )
    ]
    kept = excess <= LIMIT
    rows.append([f"difference, at most {LIMIT} s CPU: {'kept' if kept else 'NOT KEPT'}", excess, ""])
    broken = [] if kept else [f"cold start: {excess:.3f} s of CPU above the imports, at most {LIMIT} s"]
    return table(["cold start, median", "CPU s", "wall s"], rows), broken


def _import(core: int | None, names: str) -> tuple[float, float]:
    """CPU and wall seconds of the imports alone."""
    program = f"import {names}\nimport time\nprint(time.process_time())"
    begun = time.perf_counter()
    with on_core(core):
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)  # noqa: S603  our own text
    return float(done.stdout), time.perf_counter() - begun


@contextlib.contextmanager
def _keyless(bench: Bench, folder: Path) -> Iterator[dict[str, str]]:
    """The settings of a gateway without keys, beside doubles of vault and identity."""
    sys.path.insert(0, str(ROOT / "tests"))
    cloud_of: Any = importlib.import_module("doubles.cloud").running_cloud
    document = json.loads(gateway_config(bench.upstream))
    for member in document["model_list"]:
        del member["litellm_params"]["api_key"]
    document["general_settings"]["master_key"] = "keyvault/MASTER_KEY"
    with cloud_of(folder) as cloud:
        cloud.vault.put("gateway-config", document)
        cloud.vault.put("MASTER-KEY", CLIENT_KEY)
        yield cloud.environment


def _start(core: int | None, serve: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a gateway until a chat call is answered."""
    port = free_port()
    begun = time.perf_counter()
    command = [*serve, "--port", str(port)]
    with started(command, core, environ, stdout=subprocess.DEVNULL) as process:
        wait_for(port, process)
        result = load.run(port, request(PATH, stream=False), 1, 1)
        wall = time.perf_counter() - begun
        cpu = Program(port, process.pid).cpu()
    if result.replies != 1:
        raise RuntimeError("the first chat call failed")
    return cpu, wall
