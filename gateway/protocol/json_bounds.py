"""What a large JSON body may hold, counted before anything of it is parsed; in steps (see `json_walk`)."""

from __future__ import annotations

import codecs

from gateway.errors import BadRequest
from gateway.protocol.json_walk import Steps

#: Most separators, brackets and quotes of a body, within texts too. No model's context holds as many values.
MAX_VALUES = 2_000_000
#: Most escapes, and most bytes of white space.
MAX_ESCAPES = 4_000_000
MAX_SPACES = 16_000_000
#: Bytes that are looked at for a number that does not end; bytes of one step; what is counted in it, and how
#: much of that needs no look at what it is.
_NUMBER = 1 << 20
_STEP = 1 << 16
_MARKS = b',:[{"\\ \n\t\r'
_FEW = 1024
#: What numbers are made of, and what stands before one.
_NUMERIC = b"0123456789+-.eE"
_BEFORE = b"[:, \n\t\r"


def check_bounds(raw: bytes) -> Steps[None]:
    """Raise BadRequest for more than a body may hold, before anything of it is parsed."""
    values = escapes = spaces = 0
    numeric = False
    for start in range(0, len(raw), _STEP):
        if not start % _NUMBER:
            was_numeric, numeric = numeric, _is_numeric(raw[start : start + _NUMBER])
            if numeric and not was_numeric and start + _NUMBER <= len(raw):
                before = raw[max(0, start - _NUMBER) : start].rstrip(_NUMERIC)
                if not before or before[-1] in _BEFORE:
                    # A parser reads it in one go, which takes long.
                    raise BadRequest("The request body holds a number longer than any model takes.")
        piece = raw[start : start + _STEP]
        if len(piece) - len(piece.translate(None, _MARKS)) > _FEW:
            values += sum(map(piece.count, (b",", b":", b"[", b"{", b'"')))
            escapes += piece.count(b"\\")
            spaces += sum(map(piece.count, (b" ", b"\n", b"\t", b"\r")))
        if values > MAX_VALUES or escapes > MAX_ESCAPES or spaces > MAX_SPACES:
            raise BadRequest(
                "The request body holds more values, escapes or white space than any model takes."
            )
        yield


def _is_numeric(piece: bytes) -> bool:
    return piece[0] in _NUMERIC and not piece.strip(_NUMERIC)


def check_utf8(raw: bytes) -> Steps[None]:
    """Raise UnicodeDecodeError for what is not UTF-8. A text as a whole would take four times its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(raw), _STEP):
        decoder.decode(raw[start : start + _STEP], final=start + _STEP >= len(raw))
        yield
