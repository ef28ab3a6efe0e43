"""Removes the operator's topology, keys and tracebacks from upstream's error bodies. Pure.

All other bytes stay as upstream wrote them. The time is linear in the body's length, however many deployments
there are: words are looked up, not searched for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.config.deployment import Config, Deployment
from gateway.upstream.telling import SHORTEST_SECRET, telling_values

#: Longest body that is looked at, in bytes. A longer one is replaced.
LONGEST = 1_000_000

_UPSTREAM = "upstream"
_SECRET = "***"  # noqa: S105 - what stands in place of one
#: Members that hold call stacks.
_STACKS = frozenset(("callstack", "call_stack", "stack", "stacktrace", "stack_trace", "traceback"))
#: A string of a JSON text, and the colon behind it where the string is a key.
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:\s*)?', re.DOTALL)
_COMMA = re.compile(r"\s*,\s*")
#: A host, a name or any other word, with the scheme before it and the port behind it.
_WORD = re.compile(r"(https?://)?(\w[\w-]*(?:\.[\w-]+)*)(:\d{1,5}(?!\d))?", re.IGNORECASE)
_BARE = re.compile(r"\w[\w-]*(?:\.[\w-]+)*")
#: An escape in a JSON text.
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
#: Where a traceback begins, of Python's, .NET's, Java's and JavaScript's kinds.
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)"
    r"|\n[ \t]{0,40}File \"[^\"\n]{1,300}\", line \d"
    r"|\n[ \t]{0,40}at [\w.$<>`\[\] ]{1,200}\("
)
#: No host is longer (RFC 1035), and no name of a deployment.
_LONGEST_WORD = 253
#: Secrets that are learnt at a time: the tokens of so many identities, and keys that were renewed.
_LEARNT = 500

_decoder = json.JSONDecoder()

#: A text in lower case, what finds it, and what stands in its place; None for the requested model.
_Phrase = tuple[str, re.Pattern[str], str | None]


@dataclass(frozen=True, slots=True)
class Findings:
    """What of a body must be replaced."""

    #: Words in lower case, and what stands in their place.
    words: Mapping[str, str]
    phrases: Sequence[tuple[re.Pattern[str], str]]
    #: Whether there may be call stacks or tracebacks.
    stacks: bool

    def __bool__(self) -> bool:
        return bool(self.words or self.phrases or self.stacks)

    def cleaned(self, text: str) -> str:
        """A text without what tells."""
        if self.stacks and (trace := _TRACEBACK.search(text)):
            text = text[: trace.start()].rstrip()
        for pattern, replacement in self.phrases:
            # A model's name may hold backslashes, which are no template's.
            text = replacement.join(pattern.split(text))
        return _WORD.sub(self._replaced, text) if self.words else text

    def _replaced(self, match: re.Match[str]) -> str:
        scheme, word, port = match.groups()
        replacement = self.words.get(word.lower())
        if replacement is None or replacement == _UPSTREAM:
            return replacement or match[0]
        return f"{scheme or ''}{replacement}{port or ''}"


class Scrubber:
    """Removes the telling values of one configuration."""

    def __init__(self, config: Config) -> None:
        values = telling_values(config)
        self._hosts = values.hosts
        self._resources = values.resources
        self._names = values.names
        #: What is no single word is searched for, where it is in the body at all.
        self._phrases = [
            _phrase(text, replacement)
            for texts, replacement in ((values.secrets, _SECRET), (values.names, None))
            for text in sorted(texts, key=len, reverse=True)
            if replacement or not _WORD.fullmatch(text)
        ]
        #: What goes upstream and is not in the configuration -> how it is found.
        self._learnt: dict[str, _Phrase] = {}

    def learn(self, secret: str) -> None:
        """Remove `secret` from now on, too: a token, or a key that is newer than the configuration."""
        if secret in self._learnt or len(secret) < SHORTEST_SECRET:
            return
        if len(self._learnt) >= _LEARNT:
            self._learnt.clear()
        self._learnt[secret] = _phrase(secret.lower(), _SECRET)

    def redacted(self, body: bytes, deployment: Deployment, requested_model: str) -> bytes:
        """`body` without call stacks. Hosts become "upstream", deployments become the requested model.

        Empty where something must be removed and the body is no JSON, and where it is longer than `LONGEST`.
        """
        if len(body) > LONGEST:
            return b""
        called = deployment.name.lower()
        try:
            text = body.decode()
            value = json.loads(text)
            # Without the escapes, in which a name could hide.
            plain = _ESCAPE.sub(
                " ", json.dumps(value, ensure_ascii=False).replace("\\n", "\n").replace('\\"', '"')
            )
            found = self._find(plain, called, requested_model)
            return _rewritten(text, found).encode() if found else body
        except (ValueError, RecursionError):
            return b"" if self._find(body.decode(errors="replace"), called, requested_model) else body

    def _find(self, text: str, called: str, requested_model: str) -> Findings:
        lowered = text.lower()
        phrases = [
            (pattern, replacement or requested_model)
            for phrase, pattern, replacement in (*self._learnt.values(), *self._phrases)
            if phrase in lowered
        ]
        stacks = any(stack in lowered for stack in _STACKS) or _TRACEBACK.search(text) is not None
        return Findings(self._words(lowered, called, requested_model), phrases, stacks)

    def _words(self, lowered: str, called: str, requested_model: str) -> dict[str, str]:
        """The telling words in a text, and what stands in their place."""
        words = set(_BARE.findall(lowered))
        words.discard(requested_model.lower())
        names = self._names | {called}
        found = dict.fromkeys(words & names, requested_model)
        for word in words:
            if ("_" in word or word[-1] == "-") and len(word) <= _LONGEST_WORD:
                parts = _parts(word.strip("-_"))
                if any(part in names for part in parts if part != requested_model.lower()):
                    found[word] = requested_model
        found |= dict.fromkeys(words & (self._hosts | self._resources), _UPSTREAM)
        places = (
            word for word in words if "." in word and len(word) <= _LONGEST_WORD and self._is_below(word)
        )
        return found | dict.fromkeys(places, _UPSTREAM)

    def _is_below(self, word: str) -> bool:
        """Whether `word` is a host below one of ours, or a resource under whatever suffix."""
        labels = word.split(".")
        if labels[0] in self._resources:
            return True
        return any(".".join(labels[first:]) in self._hosts for first in range(1, len(labels)))


class OpenScrubber(Scrubber):
    """Removes nothing: for callers who are the operator."""

    def __init__(self) -> None:
        """Nothing is known, and nothing looked for."""

    def learn(self, secret: str) -> None:
        """Nothing is looked for."""

    def redacted(self, body: bytes, deployment: Deployment, requested_model: str) -> bytes:  # noqa: ARG002
        """`body` as it is."""
        return body


def _phrase(text: str, replacement: str | None) -> _Phrase:
    return text, re.compile(rf"(?<![\w-]){re.escape(text)}(?![\w-])", re.IGNORECASE), replacement


def _rewritten(text: str, found: Findings) -> str:
    """`text` (JSON) without what was found. Keys stay: they are the protocol's own."""
    pieces: list[str] = []
    position = 0
    while match := _STRING.search(text, position):
        string, colon = match.groups()
        if colon is not None:
            if found.stacks and json.loads(string).lower() in _STACKS:
                pieces.append(text[position : match.start()])
                _, position = _decoder.raw_decode(text, match.end())
                if comma := _COMMA.match(text, position):
                    position = comma.end()
                else:
                    _drop_comma(pieces)
                continue
            pieces.append(text[position : match.end()])
        else:
            value = json.loads(string)
            cleaned = found.cleaned(value)
            pieces.append(text[position : match.start()])
            pieces.append(string if cleaned == value else json.dumps(cleaned, ensure_ascii=False))
        position = match.end()
    return "".join((*pieces, text[position:]))


def _parts(word: str) -> list[str]:
    """`word`, and what is before and behind each underscore: names get suffixes such as `_v1`."""
    places = [place for place, character in enumerate(word) if character == "_"]
    return [word, *(word[:place] for place in places), *(word[place + 1 :] for place in places)]


def _drop_comma(pieces: list[str]) -> None:
    """Remove the comma at the end of `pieces`, and the space around it."""
    while pieces:
        last = pieces.pop().rstrip()
        if last:
            pieces.append(last.removesuffix(","))
            return
