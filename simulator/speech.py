"""Speech: small audio files that are real ones, in chunks.

MP3, WAV and PCM play (a quiet tone or silence). Opus, AAC and FLAC are their containers' first bytes
and filler: enough for whoever passes them on.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Iterator
from functools import cache

from simulator.calls import Call
from simulator.reply import compact

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
#: Samples per second of WAV and PCM: 24,000, 16 bits, one channel.
SAMPLE_RATE = 24_000
#: Characters spoken per chunk of audio.
CHARACTERS_PER_CHUNK = 16
#: A silent frame of MPEG-1 layer III, 128 kbit/s at 44.1 kHz, mono: 417 bytes, 26 ms.
MP3_FRAME = b"\xff\xfb\x90\xc4" + bytes(413)
#: First bytes of the formats that are only sketched.
MAGIC = {"opus": b"OggS\x00\x02", "aac": b"\xff\xf1\x50\x80", "flac": b"fLaC\x80\x00\x00\x22"}


def content_type(call: Call) -> str:
    """The Content-Type of the audio."""
    if call.deployment.audio_type == "octet-stream":
        return "application/octet-stream"
    return CONTENT_TYPES[call.body.get("response_format", "mp3")]


def audio(text: str, audio_format: str) -> list[bytes]:
    """The audio of a text in the chunks in which it is sent; its length follows the text's."""
    count = max(3, math.ceil(len(text) / CHARACTERS_PER_CHUNK))
    if audio_format == "mp3":
        return [MP3_FRAME * 4] * count
    if audio_format in ("wav", "pcm"):
        chunks = [tone()] * count
        if audio_format == "wav":
            chunks[0] = wav_header(sum(map(len, chunks))) + chunks[0]
        return chunks
    return [MAGIC[audio_format] + bytes(506)] + [bytes(range(256)) * 2] * (count - 1)


@cache
def tone() -> bytes:
    """50 ms of a quiet tone of 440 Hz as 16-bit samples."""
    samples = (
        int(2000 * math.sin(2 * math.pi * 440 * number / SAMPLE_RATE)) for number in range(SAMPLE_RATE // 20)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def wav_header(length: int) -> bytes:
    """The RIFF header for `length` bytes of samples."""
    layout = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16)
    return (
        struct.pack("<4sI4s4s", b"RIFF", 36 + length, b"WAVE", b"fmt ")
        + layout
        + struct.pack("<4sI", b"data", length)
    )


def binary_parts(call: Call) -> Iterator[tuple[float, bytes]]:
    """The audio's chunks with the pause before each."""
    for index, data in enumerate(audio(call.body["input"], call.body.get("response_format", "mp3"))):
        yield call.token_s() if index else 0.0, data


def event_parts(call: Call) -> Iterator[tuple[float, bytes]]:
    """The audio as server-sent events, with usage in the last."""
    chunks = audio(call.body["input"], call.body.get("response_format", "mp3"))
    for index, data in enumerate(chunks):
        event = {"type": "speech.audio.delta", "audio": b64encode(data).decode()}
        yield call.token_s() if index else 0.0, b"data: %b\n\n" % compact(event)
    used = {
        "input_tokens": call.prompt_tokens,
        "output_tokens": len(chunks),
        "total_tokens": call.prompt_tokens + len(chunks),
    }
    yield 0.0, b"data: %b\n\n" % compact({"type": "speech.audio.done", "usage": used})
