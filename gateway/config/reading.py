"""What is known and collected while the entries of one document are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.problems import Path, Problems


@dataclass(slots=True)
class Reading:
    """What is known and collected while the entries of one document are read."""

    environ: Mapping[str, str]
    problems: Problems
    warnings: list[str]
    #: Accepted key without effect -> the sections it was seen in.
    unused: dict[str, list[str]]
    #: The vault's secrets that values were taken from, by the values' paths.
    references: Mapping[Path, str] = field(default_factory=dict)
