"""Keys that are accepted and do nothing here, collected to be told in few sentences."""

from __future__ import annotations

from gateway.config.problems import WHOLE, Path, is_name, places


class Unused:
    """Such keys, by their section and by what it means that they do nothing."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[dict[str, None], dict[Path, None]]] = {}

    def add(self, section: str, key: str, meaning: str, path: Path) -> None:
        """Note that the section at `path` has this key."""
        keys, paths = self._found.setdefault((section, meaning), ({}, {}))
        keys[key] = None
        paths[path] = None

    def count(self, section: str, meaning: str) -> int:
        """How many keys of a section have this meaning."""
        keys, _ = self._found.get((section, meaning), ({}, {}))
        return len(keys)

    def warnings(self) -> list[str]:
        """A sentence for each section and meaning, with the keys and the entries."""
        return [
            f"{_names(section, list(keys))} no effect{places(list(paths))}: {meaning}"
            for (section, meaning), (keys, paths) in self._found.items()
        ]


def _names(section: str, keys: list[str]) -> str:
    verb = "have" if len(keys) > 1 else "has"
    shown = ", ".join(key if is_name(key) else "<key>" for key in keys)
    return f"{shown}: {verb}" if section == WHOLE else f"{section}.{shown}: {verb}"
