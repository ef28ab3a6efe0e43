"""Whether the first bytes of a reply are sound. Pure."""

from __future__ import annotations

import re

#: An object in JSON, or a page. Sound of no format begins so; raw samples do once in 65,536 times.
_TEXT = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*["}]|<[!?a-zA-Z])')
_BLANK = re.compile(rb"\s*\Z")
#: Blank bytes, and the first byte of a text.
_BEGUN = re.compile(rb"(?:\xef(?:\xbb(?:\xbf)?)?)?\s*(?:\{\s*|<)?\Z")
#: Marks of the formats: MP3 (bare frames, too, as AAC's), WAV, Ogg, FLAC.
_SOUND = re.compile(rb"ID3|RIFF|OggS|fLaC|\xff[\xe0-\xff]")
#: The beginning of a message in words, or of JSON: letters all through. Samples are not.
_WORDING = re.compile(rb"[\t\r\n -~]{12,64}")
_LOOKED_AT = 64
#: Media types that are read by people or programs.
_WORDS = re.compile(r"text/(?!event-stream)|application/([\w.-]+\+)?(json|xml)\b")


def is_undecided(first: bytes) -> bool:
    """Whether more than `first` must be known to tell sound from a page or an object."""
    return _BEGUN.match(first) is not None


def is_sound(first: bytes, media_type: str) -> bool:
    """Whether a reply of `media_type` that begins with `first` is sound."""
    if _SOUND.match(first):
        return True
    if _WORDING.fullmatch(first[:_LOOKED_AT]):
        return False
    return not (_BLANK.match(first) or _TEXT.match(first) or _WORDS.match(media_type))
