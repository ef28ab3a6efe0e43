"""`serve`: the gateway without the Functions host."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from gateway.settings import Settings

#: Where function_app.py and host.json are.
ROOT = Path(__file__).resolve().parents[2]
#: Seconds that requests in flight get after Ctrl-C.
GRACE = 5.0


def run(settings: Settings, host: str, port: int) -> int:
    """Serve until a signal comes; returns the exit code. Raises ConfigError or SettingsError."""
    # What is imported lives as long as the process. Looking for garbage in it meanwhile was a fifth of the
    # imports' CPU, and looking again with each full collection afterwards would be for nothing.
    gc.disable()
    from gateway.app import Process, root  # noqa: PLC0415  garbage collection is off by now

    # No line names threads or processes, so they are not looked up for each (Python's Logging HOWTO).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    # azure-identity and its HTTP pipeline write several lines for every token.
    logging.getLogger("azure").setLevel(logging.WARNING)
    process = Process(settings)
    process.start()
    root.install(process)
    _reload_on_hangup(process.look_soon)
    sys.path.insert(0, str(ROOT))
    import function_app  # noqa: PLC0415  the very same functions that Azure serves
    from gateway.server import http_process  # noqa: PLC0415
    from gateway.server.embedded import EmbeddedHost, read_route_prefix  # noqa: PLC0415

    gc.freeze()
    # A call leaves no garbage that only the collector finds. Python 3.11 would look for some after every 700
    # objects, which took a hundredth of a call's CPU. What has stayed it looks at every third time: every
    # eleventh time there was so much of it beside attacks that all calls waited for 27 to 35 ms.
    gc.set_threshold(5000, 2)
    gc.enable()
    asgi: ASGIApp = EmbeddedHost(function_app.app.get_functions(), read_route_prefix(ROOT / "host.json"))
    if settings.cors_origins:
        asgi = _with_cors(asgi, settings.cors_origins)
    return http_process.run(
        asgi,
        host,
        port,
        GRACE,
        max_connections=settings.max_connections,
        on_ready=lambda _: process.reloader.watch(),
        on_stop=process.close,
    )


def _reload_on_hangup(reload: Callable[[], None]) -> None:
    """Call `reload` for each SIGHUP, as other servers do; where it says that our terminal is gone, end."""
    if sys.platform == "win32":
        return
    attended = _has_terminal()

    def hung_up(*_: object) -> None:
        if attended and not _has_terminal():
            signal.raise_signal(signal.SIGTERM)
        else:
            reload()

    signal.signal(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


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
