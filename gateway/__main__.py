"""The command line, `python -m gateway`: serve, check, import-litellm, keys, config."""

from __future__ import annotations

import argparse
import os
import sys

from gateway import settings as process
from gateway.config.problems import ConfigError
from gateway.settings import SettingsError

#: Seconds for a call that is not streamed: nothing but the gateway limits it on the embedded host.
REPLY_TIMEOUT = 600.0
#: Exit code after Ctrl-C, as shells know it.
INTERRUPTED = 130
#: Seconds between looks at the file of the configuration: a process of its own is never frozen.
RELOAD_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (ConfigError, SettingsError) as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    """Run the command, of which alone the code is imported. Raises ConfigError or SettingsError."""
    if options.command == "keys":
        from gateway.cli import keys  # noqa: PLC0415  see the docstring

        return keys.new(options.client) if options.action == "new" else keys.hash_key()
    if options.command == "import-litellm":
        from gateway.cli import import_litellm  # noqa: PLC0415

        return import_litellm.run(options.file)
    settings = process.read(
        {**os.environ, **_overrides(options)}, reply_timeout=REPLY_TIMEOUT, reload_seconds=RELOAD_SECONDS
    )
    if options.command == "config":
        from gateway.cli import config  # noqa: PLC0415

        file, now = getattr(options, "file", None), getattr(options, "now", False)
        return config.run(settings, options.action, name=options.name, file=file, now=now)
    if options.command == "check":
        from gateway.cli import check  # noqa: PLC0415

        return check.run(settings, resolve=options.resolve, everything=options.all)
    from gateway.cli import serve  # noqa: PLC0415

    return serve.run(settings, options.host, options.port)


def _parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=sys.modules["gateway"].__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands.add_parser("serve", help="serve the gateway without the Functions host"))
    _add_check(commands.add_parser("check", help="list what is wrong with a configuration"))
    importing = commands.add_parser(
        "import-litellm", help="print LiteLLM's configuration as one for this gateway, and what is lost"
    )
    _add_file(importing)
    _add_config(commands.add_parser("config", help="write, read or compare the configuration in a vault"))
    _add_keys(commands.add_parser("keys", help="make a key for a client, or hash one"))
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="configuration (default: the setting GATEWAY_CONFIG)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--allow-anonymous", action="store_true", help="let every caller in, with any key or none"
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--allow-anonymous", action="store_true", help="as for serve")
    parser.add_argument(
        "--resolve",
        action="store_true",
        help="read the secrets it refers to from KEY_VAULT_URL, and ask for a token with each credential",
    )
    parser.add_argument("--all", action="store_true", help="print all warnings, however many there are")


def _add_file(parser: argparse.ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("file", metavar="FILE", nargs="?", default=argparse.SUPPRESS)
    one.add_argument("--config", metavar="FILE", dest="file", help="the same, as for serve")


def _add_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("new", help="print a new key, once, and its hash for the configuration")
    making.add_argument("--client", metavar="NAME", required=True, help="the client's name in `clients`")
    actions.add_parser("hash", help="print the hash of the key on standard input")


def _add_config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    texts = {
        "push": "validate a file together with what else the vault has, and write it",
        "pull": "print what the vault has",
        "diff": "say what a file would change: members, clients, limits",
    }
    for name, text in texts.items():
        action = actions.add_parser(name, help=text)
        if name != "pull":
            action.add_argument("file", metavar="FILE")
        action.add_argument("--vault", metavar="URL", help="the vault (default: the setting KEY_VAULT_URL)")
        action.add_argument("--name", metavar="SECRET", help="the secret (default: gateway-config)")
        if name == "push":
            action.add_argument("--now", action="store_true", help="let all instances read it now")


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    """The settings that flags stand for."""
    found = {}
    if getattr(options, "allow_anonymous", False):
        found["GATEWAY_ALLOW_ANONYMOUS"] = "1"
    source = {"serve": "config", "check": "file"}.get(options.command)
    if source is not None and getattr(options, source) is not None:
        found["GATEWAY_CONFIG"] = getattr(options, source)
    if getattr(options, "vault", None) is not None:
        found["KEY_VAULT_URL"] = options.vault
    return found


if __name__ == "__main__":
    sys.exit(main())
