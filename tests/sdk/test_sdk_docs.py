"""Every Python block of docs/python-api.md runs as it is printed; only addresses lead to the simulated Azure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.python_api import KEY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python-api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
#: What a block prints, by a word of it, for those that print what is known.
PRINTS = {"speech": "audio/mpeg", "tool_call_id": "celsius", "Router(\n    model_list=[\n": "Hello"}

pytestmark = pytest.mark.system


@pytest.mark.parametrize("source", BLOCKS)
def test_a_block_runs(simulator, source, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("AZURE_API_KEY", KEY)
    monkeypatch.setenv("AZURE_API_BASE", simulator.url)
    monkeypatch.chdir(tmp_path)
    source = re.sub(r"https://my-resource-\w+\.openai\.azure\.com", simulator.url, source)
    source = source.replace("in Paris?", "in Paris? [[tool]]")  # so that the simulated model calls it
    seen = len(simulator.log)

    exec(compile(source, "python-api.md", "exec"), {"__name__": "__main__"})  # noqa: S102

    calls = [entry["status"] for entry in simulator.log[seen:]]
    assert {200} == set(calls) or "storage_connection_string" in source
    for word, printed in PRINTS.items():
        assert word not in source or printed in capsys.readouterr().out


def test_the_page_has_a_block_for_each_task():
    assert 7 <= len(BLOCKS)
