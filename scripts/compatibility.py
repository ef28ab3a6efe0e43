"""Write docs/litellm-compatibility.md: `.venv/bin/python scripts/compatibility.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gateway.config.document import TOP_LEVEL, effective_names  # noqa: E402
from gateway.config.keys import REFUSED, WITHOUT_EFFECT  # noqa: E402
from gateway.config.litellm_keys import MONEY, OPEN_BAG  # noqa: E402
from gateway.config.problems import WHOLE  # noqa: E402

TARGET = ROOT / "docs" / "litellm-compatibility.md"

_HEAD = """\
# LiteLLM's keys, one by one

Made by `scripts/compatibility.py` from the tables in `gateway/config`; a test compares. What the keys that
work do is in [configuration.md](configuration.md).

- **works**: as at LiteLLM, or as configuration.md says.
- **no effect**: accepted with a warning that says what that means for clients.
- **refused**: leaving it out in silence would take a protection away. Switched off (`false`, `null`, empty)
  it is accepted.

Keys that are in none of these tables are refused, with the nearest name that there is. A key of LiteLLM in a
section where LiteLLM does not read it has no effect here, either, and a warning names its section. Nor has a
key that nobody knows whose name is made of words for logs, costs, caches, retries and the like alone
(`proxy_logging`, `cost_tracking_url`) or begins with an observer's (`langfuse_host`), unless it looks like a
key that does something; nor a flag of `general_settings` whose name begins with `allow_`.
"""

_NOTES = {
    WHOLE: "Keys that begin with `x-`, and unknown ones with anchors that others repeat, hold YAML anchors "
    "and are ignored. `include` works in files.",
    "litellm_params": "Any body field of the operations works as a request default. Names with `cost` in "
    f"them: no effect. {MONEY}",
    "model_info": f"Any other key: no effect. {OPEN_BAG}",
}


def document() -> str:
    """The page as it should be."""
    parts = [_HEAD]
    for section in WITHOUT_EFFECT:
        works = set(TOP_LEVEL) if section == WHOLE else effective_names(section)
        rows = dict.fromkeys(works, "works")
        rows |= {key: f"no effect: {text}" for key, text in WITHOUT_EFFECT[section].items()}
        rows |= {key: f"refused: {text}." for key, text in REFUSED[section].items()}
        title = "The top of the document" if section == WHOLE else f"`{section}`"
        parts.append(f"## {title}\n")
        if section in _NOTES:
            parts.append(_NOTES[section] + "\n")
        parts.append("| key | |\n|---|---|")
        parts += [f"| `{key}` | {rows[key]} |" for key in sorted(rows)]
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(document())
