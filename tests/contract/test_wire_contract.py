"""docs/wire-contract.md names tests; they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "wire-contract.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| (?!Rule)(?P<rule>[^|]+) \| (?P<tests>.+) \|$", re.MULTILINE)


def defined(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_table_names_exists():
    named = NAMED.findall(TABLE.read_text())
    files = {path: defined(path) for path in {path for path, _ in named}}

    assert len(named) > 50
    assert [] == [f"{path}::{name}" for path, name in named if name not in files[path]]


def test_every_rule_names_a_test():
    rows = [row.groupdict() for row in ROW.finditer(TABLE.read_text())]

    assert len(rows) > 40
    assert [] == [row["rule"] for row in rows if not NAMED.search(row["tests"])]
