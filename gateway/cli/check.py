"""`check`: what is wrong with a configuration."""

from __future__ import annotations

import sys

from gateway.config.load import check
from gateway.config.problems import ConfigError
from gateway.config.sources import read_text
from gateway.settings import Settings


def run(settings: Settings) -> int:
    """Print warnings; returns 0. Raises ConfigError with every problem."""
    problems, warnings = check(
        read_text(settings.config or ""), settings.environ, allow_anonymous=settings.allow_anonymous
    )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if problems:
        raise ConfigError(problems)
    print("The configuration is valid.")
    return 0
