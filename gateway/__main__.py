"""The command line: `python -m gateway serve` and `python -m gateway check`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from pathlib import Path

from starlette.types import ASGIApp

from gateway import settings as process
from gateway.config.problems import ConfigError
from gateway.settings import SettingsError

#: Where function_app.py and host.json are.
ROOT = Path(__file__).resolve().parent.parent
#: Seconds for a call that is not streamed: nothing but the gateway limits it here.
REPLY_TIMEOUT = 600.0
#: Seconds that requests in flight get after Ctrl-C.
GRACE = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=sys.modules["gateway"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the gateway without the Functions host")
    serve.add_argument("--config", metavar="FILE", help="configuration (default: the setting GATEWAY_CONFIG)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=7071, help="port to listen on (default: %(default)s)")
    serve.add_argument(
        "--allow-anonymous", action="store_true", help="let every caller in, with any key or none"
    )
    check = commands.add_parser("check", help="list what is wrong with a configuration")
    check.add_argument("file", metavar="FILE")
    check.add_argument("--allow-anonymous", action="store_true", help="as for serve")
    options = parser.parse_args(arguments)
    overrides = {}
    if options.allow_anonymous:
        overrides["GATEWAY_ALLOW_ANONYMOUS"] = "1"
    source = options.file if options.command == "check" else options.config
    if source is not None:
        overrides["GATEWAY_CONFIG"] = source
    try:
        settings = process.read({**os.environ, **overrides}, reply_timeout=REPLY_TIMEOUT)
        return (
            _check(settings) if options.command == "check" else _serve(settings, options.host, options.port)
        )
    except (ConfigError, SettingsError) as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1


def _check(settings: process.Settings) -> int:
    from gateway.config.load import check, read  # noqa: PLC0415  `--help` needs none of it

    problems, warnings = check(
        read(settings.config or ""), settings.environ, allow_anonymous=settings.allow_anonymous
    )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if problems:
        raise ConfigError(problems)
    print("The configuration is valid.")
    return 0


def _serve(settings: process.Settings, host: str, port: int) -> int:
    # What is imported lives as long as the process. Looking for garbage in it meanwhile was a fifth of the
    # imports' CPU, and looking again with each full collection afterwards would be for nothing.
    gc.disable()
    from gateway.app import build, root  # noqa: PLC0415  as above

    # No line names threads or processes, so they are not looked up for each (Python's Logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # azure-identity and its HTTP pipeline write several lines for every token.
    logging.getLogger("azure").setLevel(logging.WARNING)
    app = build(settings)
    app.load()
    root.install(app)
    sys.path.insert(0, str(ROOT))
    import function_app  # noqa: PLC0415  the very same functions that Azure serves
    from gateway.hosting.embedded import EmbeddedHost, read_route_prefix  # noqa: PLC0415
    from gateway.hosting.server import run  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    asgi: ASGIApp = EmbeddedHost(function_app.app.get_functions(), read_route_prefix(ROOT / "host.json"))
    if settings.cors_origins:
        asgi = _with_cors(asgi, settings.cors_origins)
    return run(asgi, host, port, GRACE, on_stop=app.close)


def _with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Let pages of `origins` call the gateway. On Azure the platform does this, by its own setting."""
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415  most run without

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        # What clients read of a reply beside its body.
        expose_headers=[
            *("x-request-id", "retry-after", "retry-after-ms", "x-should-retry"),
            *(
                f"x-ratelimit-{part}-{unit}"
                for part in ("limit", "remaining")
                for unit in ("requests", "tokens")
            ),
        ],
        max_age=600,
    )


if __name__ == "__main__":
    sys.exit(main())
