"""Runs a function app in the embedded host: `python embedded_host.py APP_DIR [PORT [GRACE_SECONDS]]`.

Prints the port on the first line of standard output, as functions_host.py does.
"""

from __future__ import annotations

import os
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
    from gateway.server.embedded import EmbeddedHost, read_route_prefix
    from gateway.server.uvicorn_server import run

    host = EmbeddedHost(app.get_functions(), read_route_prefix(app_dir / "host.json"))
    return run(host, "127.0.0.1", port, grace, on_ready=lambda bound: print(bound, flush=True))


if __name__ == "__main__":
    sys.exit(main())
