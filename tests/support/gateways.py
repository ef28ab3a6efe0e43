"""Starts the repository's gateway in either host, as users do, with a configuration of the test's."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.ports import free_port
from support import forks
from support.calls import call, wait_for
from support.combinations import Combination
from support.hosts import on_loop, start_functions_host
from support.processes import ROOT, Server, started

#: What Python runs for a gateway on the embedded host, before its port.
SERVE = ("-m", "gateway", "serve", "--port")


@dataclass(frozen=True)
class Gateway(Server):
    """A running gateway."""

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """The log lines of one request, once there is one."""

        def find() -> list[dict[str, Any]]:
            # The last line may be half written.
            whole, _, _ = self.log().rpartition("\n")
            lines = [line for line in whole.splitlines() if f'"{request_id}"' in line]
            return [json.loads(line) for line in lines]

        return wait_for(find)

    def state(self) -> dict[str, int]:
        """What the Functions worker holds; on that host only."""
        return call(self.port, "GET", "/__host").json()

    def memory(self) -> int:
        """Resident bytes of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def connections(self) -> int:
        """Established TCP connections of the process, both ends of its own counted."""
        inodes = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(descriptor.readlink().name)
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return sum(row[3] == "01" and f"socket:[{row[9]}]" in inodes for row in rows)


@contextlib.contextmanager
def start_gateway(
    host: Combination | str,
    config: Any,
    *,
    program: Sequence[str] = SERVE,
    **settings: str,
) -> Iterator[Gateway]:
    """Run the gateway on a host: "embedded" or "functions" (on uvloop), or a combination of host and loop.

    `config` is a document, its text, or None for none; `program` is what Python runs, before the port.
    """
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(config, dict):
            # A document of this size does not fit into an environment variable.
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            config = str(path)
        env = settings if config is None else {"GATEWAY_CONFIG": config} | settings
        name, loop = Combination(host) if isinstance(host, str) else host
        if name == "functions":
            starting = start_functions_host(ROOT, env, loop=loop)
        else:
            port = free_port()
            command = [sys.executable, *program, str(port)]
            imports = forks.EMBEDDED if program == SERVE else ()
            starting = started(name, command, on_loop(loop) | env, port=port, imports=imports)
        with starting as server:
            yield Gateway(server.host, server.port, server.process, server.log_path)
