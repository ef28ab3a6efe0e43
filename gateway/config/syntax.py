"""Text to a tree of plain values: JSON, or YAML as LiteLLM's users write it.

Knows both notations and their traps (duplicate keys, alias bombs, tags, depth); knows no key of ours.
YAML is read from the parser's events, not with PyYAML's constructors: those keep the last of two equal keys,
expand aliases without bound and turn `api_version: 2023-05-15` into a date.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from gateway.config.problems import MAX_DEPTH, MAX_VALUES, ConfigError, Path, Problems

#: The largest document, in UTF-8 bytes: thousands of deployments fit.
MAX_BYTES = 1_000_000
TOO_LARGE = f"document: is larger than {MAX_BYTES} bytes; spread the deployments over several gateways"


class JsonObject(dict[str, Any]):
    """A JSON object that named some of its keys twice."""

    repeated: tuple[str, ...] = ()


def parse(text: str, problems: Problems) -> Any:
    """Read the document as dicts, lists and scalars; duplicate keys and the like go to `problems`.

    JSON is tried first when the text starts like a JSON object, so that such a document needs no YAML import.
    Raises ConfigError when the text is neither.
    """
    text = text.removeprefix("\ufeff")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError(["document: is not valid Unicode; save it as UTF-8"]) from None
    if size > MAX_BYTES:
        raise ConfigError([TOO_LARGE])
    if not text.strip():
        raise ConfigError(["document: is empty; it needs at least a model_list"])
    json_problem = None
    if text.lstrip().startswith("{"):
        try:
            tree = json.loads(text, object_pairs_hook=_members)
        except json.JSONDecodeError as error:
            json_problem = f"document: is not valid JSON at line {error.lineno}, column {error.colno}"
        except (RecursionError, ValueError):
            # ValueError: an integer of thousands of digits.
            raise ConfigError(["document: is nested too deeply or holds an absurd number"]) from None
        else:
            values = _report_repeated(tree, (), problems)
            if values > MAX_VALUES:
                raise ConfigError([f"document: holds more than {MAX_VALUES} values"])
            return tree
    # Imported here because a JSON configuration needs no YAML parser at cold start.
    from gateway.config import yaml_events  # noqa: PLC0415

    try:
        return yaml_events.parse(text, problems)
    except ConfigError as error:
        # A flow mapping is YAML too; only when it is neither is the JSON reading the better explanation.
        raise ConfigError([json_problem] if json_problem else error.problems) from None


def write(tree: dict[str, Any]) -> str:
    """The YAML of a document, without anchors."""
    import yaml  # noqa: PLC0415  only who writes a document needs it

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        json.loads(json.dumps(tree)), Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    marked = JsonObject(plain)
    counts = Counter(key for key, _ in pairs)
    marked.repeated = tuple(key for key, count in counts.items() if count > 1)
    return marked


def _report_repeated(tree: Any, path: Path, problems: Problems) -> int:
    """Add a problem for each key that a JSON object names twice. Returns the number of values."""
    count = 1
    if len(path) > MAX_DEPTH:
        return count  # what lies deeper is refused when references are resolved
    if isinstance(tree, dict):
        for key in tree.repeated if isinstance(tree, JsonObject) else ():
            problems.add((*path, key), "is given twice in one object; keep one")
        for key, value in tree.items():
            count += _report_repeated(value, (*path, key), problems)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            count += _report_repeated(value, (*path, index), problems)
    return count
