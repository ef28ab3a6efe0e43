"""Removes the operator's topology, keys and tracebacks from upstream's error bodies. Pure.

All other bytes stay as upstream wrote them. The time is linear in the body's length, however many deployments
there are: words are looked up, not searched for.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.config.deployment import Config, Deployment
from gateway.upstream.telling import SHORTEST_SECRET, telling_values

#: Longest body that is looked at, in bytes. A longer one is replaced.
LONGEST = 1_000_000

_UPSTREAM = "upstream"
_BACKSLASH = chr(92)
_REMOVED = "(removed)"
_SECRET = "***"  # noqa: S105 - what stands in place of one
#: Members that hold call stacks.
_STACKS = frozenset(
    (
        "callstack",
        "call_stack",
        "stack",
        "stacktrace",
        "stack_trace",
        "stacktracestring",
        "backtrace",
        "traceback",
    )
)
#: Characters of a key from which on it is one within other words, too.
_UNMISTAKABLE = 12
#: A string of a JSON text, and the colon behind it where the string is a key.
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:\s*)?', re.DOTALL)
_COMMA = re.compile(r"\s*,\s*")
#: A host, a name or any other word, with the scheme before it and the port behind it.
_WORD = re.compile(r"(https?://)?(\w[\w-]*(?:\.[\w-]+)*)(:\d{1,5}(?!\d))?", re.IGNORECASE)
_BARE = re.compile(r"\w[\w-]*(?:\.[\w-]+)*")
#: An escape in a JSON text.
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
#: Where a traceback begins: of Python; of .NET, Java and JavaScript; of Go, Rust, Ruby, PHP and Elixir.
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\)"
    r"|(?:\A|\n)[ \t]{0,40}File \"[^\"\n]{1,300}\", line \d"
    r"|(?:\A[ \t]|\n)[ \t]{0,40}at (?:[\w.$<>`\[\] ]{1,200}\(|[^\s()]{1,300}:\d)"
    r"|goroutine \d{1,9} \[[a-z]|\n\t[^\s]{1,300}\.go:\d"
    r"|thread '[^'\n]{1,100}'(?: \(\d{1,9}\))? panicked at |stack backtrace:\n"
    r"|(?:\A|\n)[ \t]{0,40}(?:from )?[^\s]{1,300}:\d{1,9}:in [`']"
    r"|(?:\A|\n)(?:Stack trace:\s{0,9})?#\d{1,4} [^\s]{1,300}\(\d{1,9}\): "
    r"|\n[ \t]{1,40}\([\w. ]{1,60}\) [^\s]{1,300}:\d{1,9}: "
)
#: Text without a space, and codings in which a name could hide: of URLs, of JSON in a text, of HTML.
_RUN = re.compile(r"\S+")
_CODED = re.compile(r"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\/|&#?[a-z0-9]{2,8};", re.IGNORECASE)
_UNICODE = re.compile(r"\\u([0-9a-f]{4})", re.IGNORECASE)
#: Codings of one text within each other that are undone.
_DEEPEST = 3
#: No host is longer (RFC 1035), and no name of a deployment.
_LONGEST_WORD = 253
#: Secrets that are learnt at a time: the tokens of so many identities, and keys that were renewed.
_LEARNT = 500

_decoder = json.JSONDecoder()

#: A text in lower case, what finds it, and what stands in its place; None for the requested model.
_Phrase = tuple[str, re.Pattern[str], str | None]


class Findings(msgspec.Struct, frozen=True):
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
            text = text[: trace.start()].rstrip() or _REMOVED
        text = self._named(text)
        return _RUN.sub(self._uncoded, text) if _CODED.search(text) else text

    def _uncoded(self, match: re.Match[str]) -> str:
        """A piece of text as it is, or decoded and cleaned where it tells something once it is decoded."""
        plain = _decoded(match[0])
        cleaned = self._named(plain)
        return match[0] if cleaned == plain else cleaned

    def _named(self, text: str) -> str:
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

        Empty where something must be removed and the body is no JSON, where it is longer than `LONGEST`, and
        where it is not in UTF-8.
        """
        if len(body) > LONGEST or b"\0" in body:
            # Zeros are those of an encoding in which names could hide.
            return b""
        called = deployment.name.lower()
        try:
            text = body.decode()
            value = json.loads(text)
            # Without the escapes, in which a name could hide.
            dumped = json.dumps(value, ensure_ascii=False)
            plain = _ESCAPE.sub(" ", dumped)
            if _CODED.search(dumped):
                plain = f"{plain}\n{_decoded(dumped.replace(_BACKSLASH * 2, _BACKSLASH))}"
            found = self._find(plain, _strings(value), called, requested_model)
            return _rewritten(text, found).encode() if found else body
        except UnicodeDecodeError:
            return b""
        except (ValueError, RecursionError):
            text = body.decode()
            return b"" if self._find(text, [text], called, requested_model) else body

    def _find(self, text: str, strings: Iterable[str], called: str, requested_model: str) -> Findings:
        """What must go of a body that has `text`, decoded, in `strings`."""
        lowered = text.lower()
        phrases = [
            (pattern, replacement or requested_model)
            for phrase, pattern, replacement in (*self._learnt.values(), *self._phrases)
            if phrase in lowered
        ]
        stacks = any(stack in lowered for stack in _STACKS) or any(map(_TRACEBACK.search, strings))
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
    """What finds `text`, as no part of a word unless it is an unmistakable secret, and what replaces it."""
    found = re.escape(text)
    if replacement is None or len(text) < _UNMISTAKABLE:
        found = rf"(?<![\w-]){found}(?![\w-])"
    return text, re.compile(found, re.IGNORECASE), replacement


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


def _strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value that is no key."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _decoded(text: str) -> str:
    """`text` without the codings that it is in."""
    for _ in range(_DEEPEST):
        if not _CODED.search(text):
            break
        text = _UNICODE.sub(lambda match: chr(int(match[1], 16)), unquote(html.unescape(text)))
        text = text.replace(r"\/", "/")
    return text


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
