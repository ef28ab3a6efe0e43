"""`python -m simulator --config FILE --port N [--host H]`: serve until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from simulator.app import Simulator
from simulator.config import ConfigError, load
from simulator.server import listening


async def serve(simulator: Simulator, host: str, port: int) -> None:
    """Serve until a signal ends it; the first line on standard output names the address."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with listening(simulator, host, port) as actual:
        sys.stdout.write(f"simulator: http://{host}:{actual}\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and serve; 1 if the configuration or the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="Azure OpenAI, simulated.")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("demo.yaml"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(Simulator(load(options.config)), options.host, options.port))
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
