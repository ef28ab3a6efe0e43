"""What is known and collected while the entries of one document are read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.config.problems import Path, Problems
from gateway.config.unused import Unused


class Reading(msgspec.Struct):
    """What is known and collected while the entries of one document are read."""

    environ: Mapping[str, str]
    problems: Problems
    warnings: list[str]
    #: Accepted keys without effect.
    unused: Unused
    #: The environment's credentials, and the members that have none of their own and are called with them.
    borrowed: dict[str, list[Path]] = msgspec.field(default_factory=dict)
    #: The vault's secrets that values were taken from, by the values' paths.
    references: Mapping[Path, str] = msgspec.field(default_factory=dict)
    #: Whether members leave out what their models refuse, where they do not say (`litellm_settings`).
    drop_params: bool = False
    #: Warnings of single values, and where these stand.
    remarks: list[tuple[Path, str]] = msgspec.field(default_factory=list)

    def remark(self, path: Path, text: str) -> None:
        """Warn of the value at `path`."""
        self.remarks.append((path, text))
