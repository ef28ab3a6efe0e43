"""Large prompts: text by its length, media by what it is."""

import json

import pytest

from gateway.limits.tokens.estimate import estimate, fine_estimate
from gateway.protocol.json_body import parse
from gateway.protocol.operations import CHAT, EMBEDDINGS

BASE64 = "iVBORw0KGgoAAAANSUhEUgAA" * 20_000
TEXT = "The quick brown fox jumps over the lazy dog. " * 10_000


def tokens(operation, **fields):
    values = parse(json.dumps({"model": "gpt", **fields}).encode()).values
    found = estimate(operation, values).prompt
    assert found == fine_estimate(operation, values).prompt
    return found


def message(*parts):
    return {"messages": [{"role": "user", "content": list(parts)}]}


def test_text_counts_a_quarter_of_its_length():
    assert len(TEXT) / 4 == pytest.approx(
        tokens(CHAT, messages=[{"role": "user", "content": TEXT}]), rel=0.01
    )


def test_an_image_counts_as_one_whatever_its_bytes():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + BASE64}}
    text = {"type": "text", "text": TEXT}
    assert 765 + len(TEXT) / 4 == pytest.approx(tokens(CHAT, **message(text, image)), rel=0.01)


@pytest.mark.parametrize("escaped", [False, True])
def test_audio_counts_by_its_seconds(escaped):
    data = BASE64.replace("K", "/")
    raw = json.dumps(
        {"model": "gpt", **message({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})}
    )
    values = parse(raw.replace("/", "\\/" if escaped else "/").encode()).values
    assert len(BASE64) * 0.75 / 4800 == pytest.approx(estimate(CHAT, values).prompt, rel=0.5)


def test_lists_of_tokens_count_about_their_numbers():
    assert 40_000 == pytest.approx(tokens(EMBEDDINGS, input=[[12345] * 100] * 400), rel=0.3)


def test_texts_in_a_list_count_by_their_lengths():
    assert 4 * len(TEXT) / 4 == pytest.approx(tokens(EMBEDDINGS, input=[TEXT] * 4), rel=0.01)
