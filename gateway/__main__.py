"""The command line, `python -m gateway`: serve, check, keys."""

from __future__ import annotations

import argparse
import os
import sys

from gateway import settings as process
from gateway.config.problems import ConfigError
from gateway.settings import SettingsError

#: Seconds for a call that is not streamed: nothing but the gateway limits it on the embedded host.
REPLY_TIMEOUT = 600.0
#: Seconds between looks at the file of the configuration: a process of its own is never frozen.
RELOAD_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=sys.modules["gateway"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve the gateway without the Functions host")
    serving.add_argument(
        "--config", metavar="FILE", help="configuration (default: the setting GATEWAY_CONFIG)"
    )
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serving.add_argument("--port", type=int, default=7071, help="port to listen on (default: %(default)s)")
    serving.add_argument(
        "--allow-anonymous", action="store_true", help="let every caller in, with any key or none"
    )
    checking = commands.add_parser("check", help="list what is wrong with a configuration")
    checking.add_argument("file", metavar="FILE")
    checking.add_argument("--allow-anonymous", action="store_true", help="as for serve")
    keys = commands.add_parser("keys", help="make a key for a client, or hash one")
    actions = keys.add_subparsers(dest="action", required=True)
    making = actions.add_parser("new", help="print a new key, once, and its hash for the configuration")
    making.add_argument("--client", metavar="NAME", required=True, help="the client's name in `clients`")
    actions.add_parser("hash", help="print the hash of the key on standard input")
    options = parser.parse_args(arguments)
    if options.command == "keys":
        return _keys(options)
    overrides = {}
    if options.allow_anonymous:
        overrides["GATEWAY_ALLOW_ANONYMOUS"] = "1"
    source = options.file if options.command == "check" else options.config
    if source is not None:
        overrides["GATEWAY_CONFIG"] = source
    try:
        settings = process.read(
            {**os.environ, **overrides}, reply_timeout=REPLY_TIMEOUT, reload_seconds=RELOAD_SECONDS
        )
        if options.command == "check":
            from gateway.cli import check  # noqa: PLC0415  `--help` needs none of it

            return check.run(settings)
        from gateway.cli import serve  # noqa: PLC0415  as above

        return serve.run(settings, options.host, options.port)
    except (ConfigError, SettingsError) as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1


def _keys(options: argparse.Namespace) -> int:
    from gateway.cli import keys  # noqa: PLC0415  `--help` needs none of it

    try:
        return keys.new(options.client) if options.action == "new" else keys.hash_key()
    except ConfigError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
