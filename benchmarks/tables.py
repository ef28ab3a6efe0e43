"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; numbers are written with as many places as they need, the first column as it is."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    places = 3 if abs(cell) < 1 else 2 if abs(cell) < 10 else 1
    return f"{cell:.{places}f}"
