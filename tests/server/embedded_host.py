"""Runs a function app in the embedded host: `python embedded_host.py APP_DIR [PORT [GRACE_SECONDS]]`.

Prints the port on the first line of standard output, as functions_host.py does. The environment may shorten its
deadlines (TEST_CONNECTIONS, a JSON object of constants of deadlines and connection_table), limit its connections
(TEST_MAX_CONNECTIONS) and its open files (TEST_DESCRIPTORS), and keep it on asyncio's event loop where uvloop is installed (TEST_LOOP=asyncio).
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main():
    app_dir = Path(sys.argv[1]).resolve()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    grace = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
    sys.path[:0] = [str(app_dir), str(ROOT)]
    os.chdir(app_dir)
    from function_app import app
    from gateway.server import connection_table, deadlines
    from gateway.server.embedded import EmbeddedHost, read_route_prefix
    from gateway.server.http_process import MAX_CONNECTIONS, run

    for name, value in json.loads(os.environ.get("TEST_CONNECTIONS", "{}")).items():
        module = next(each for each in (deadlines, connection_table) if hasattr(each, name))
        setattr(module, name, value)
    if descriptors := int(os.environ.get("TEST_DESCRIPTORS", "0")):
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    most = int(os.environ.get("TEST_MAX_CONNECTIONS", MAX_CONNECTIONS))
    host = EmbeddedHost(app.get_functions(), read_route_prefix(app_dir / "host.json"))
    return run(
        host,
        "127.0.0.1",
        port,
        grace,
        max_connections=most,
        on_ready=lambda bound: print(bound, flush=True),
    )


if __name__ == "__main__":
    sys.exit(main())
