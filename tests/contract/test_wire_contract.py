"""docs/wire-contract.md and docs/features.md name tests; they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Each with the fewest tests and rows that it has.
TABLES = [("wire-contract.md", 50, 40), ("features.md", 40, 23)]
PAGE = ROOT / "tests" / "contract" / "test_litellm_page.py"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| (?!Rule|Section)(?P<rule>[^|]+) \| (?P<tests>.+) \|$", re.MULTILINE)


def defined(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("table", "fewest", "_"), TABLES)
def test_every_test_that_the_table_names_exists(table, fewest, _):
    named = NAMED.findall((ROOT / "docs" / table).read_text())
    files = {path: defined(path) for path in {path for path, _ in named}}

    assert len(named) > fewest
    assert [] == [f"{path}::{name}" for path, name in named if name not in files[path]]


@pytest.mark.parametrize(("table", "_", "fewest"), TABLES)
def test_every_rule_names_a_test(table, _, fewest):
    rows = [row.groupdict() for row in ROW.finditer((ROOT / "docs" / table).read_text())]

    assert len(rows) > fewest
    assert [] == [row["rule"] for row in rows if not NAMED.search(row["tests"])]


def test_every_test_of_the_page_says_its_section_and_is_in_the_table():
    tests = [node for node in ast.parse(PAGE.read_text()).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in tests if node.name.startswith("test_")]
    table = (ROOT / "docs" / "features.md").read_text()

    assert [] == [node.name for node in tests if f"`tests/contract/{PAGE.name}::{node.name}`" not in table]
    sections = [re.match(r"[^,:.]+", ast.get_docstring(node) or "-")[0] for node in tests]
    assert [] == [section for section in sections if f"| {section}" not in table]
