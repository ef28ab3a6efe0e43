from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.tokens.estimate import Edits, Estimate, estimate, fine_estimate, fine_tokens, with_edits
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, OPERATIONS, SPEECH


def chat(content, **fields):
    return estimate(CHAT, {"messages": [{"role": "user", "content": content}], **fields})


def test_a_prompt_is_a_quarter_of_its_characters():
    assert Estimate(9, None) == chat("x" * 34)


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_the_longest_answer_counts(key):
    assert 100 == chat("hi", **{key: 100}).completion


def test_max_completion_tokens_wins_over_max_tokens():
    assert 7 == chat("hi", max_tokens=100, max_completion_tokens=7).completion


@pytest.mark.parametrize("key", ["n", "best_of"])
def test_several_answers_count_several_times(key):
    body = {"prompt": "hi", "max_tokens": 10, key: 3}

    assert 30 == estimate(COMPLETIONS, body).completion


@pytest.mark.parametrize("odd", [-1, "5", True, 1.5, None, []])
def test_a_limit_that_is_no_count_is_none(odd):
    assert chat("hi", max_tokens=odd).completion is None


@pytest.mark.parametrize(
    ("body", "defaults", "completion"),
    [
        ({}, [{}, {"max_tokens": 100}, {"max_tokens": 400, "temperature": 1}], 400),
        ({"n": 2}, [{"max_completion_tokens": 100}], 200),
        ({"max_tokens": 7}, [{"max_tokens": 100, "n": 3}], 21),
        ({"max_tokens": 7}, [{}], 7),
        ({}, [{"temperature": 1}], None),
        ({}, [{"extra_body": {"max_tokens": 50}}], 50),
        ({"max_tokens": 7}, [{"extra_body": {"max_tokens": 50, "max_completion_tokens": 60}}], 7),
        ({}, [{"max_tokens": 40, "extra_body": {"max_completion_tokens": 50}}], 40),
        ({}, [], None),
    ],
)
def test_what_deployments_add_of_their_own_counts(body, defaults, completion):
    edits = [Edits({**each, "extra_body": None}, each.get("extra_body", {})) for each in defaults]

    found = with_edits(estimate(CHAT, body), CHAT, body, edits)

    assert Estimate(0, completion) == found


@pytest.mark.parametrize(
    ("edits", "completion"),
    [
        ([Edits({}, {}, {"max_tokens"})], None),
        ([Edits({}, {}, {"max_tokens"}), Edits({}, {})], 200),
        ([Edits({}, {}, {"n"})], 100),
        ([Edits({"max_completion_tokens": 7}, {}, {"max_tokens"})], 14),
        ([Edits({"max_tokens": 7}, {}, {"max_tokens"})], None),
        ([Edits({}, {}, {"seed"})], 200),
    ],
)
def test_a_bound_that_every_deployment_takes_out_counts_nothing(edits, completion):
    body = {"max_tokens": 100, "n": 2}

    assert completion == with_edits(estimate(CHAT, body), CHAT, body, edits).completion


def test_images_cost_tiles_and_not_their_base64():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}

    assert 765 == chat([image]).prompt
    image["image_url"]["detail"] = "low"
    assert 86 == chat([image, {"type": "text", "text": "hi!!"}]).prompt


def test_audio_costs_its_length_and_not_its_base64():
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}}

    assert 10 == chat([audio]).prompt


def test_tools_are_part_of_the_prompt():
    tools = [{"type": "function", "function": {"name": "x" * 400}}]

    assert chat("hi", tools=tools).prompt > 100


@pytest.mark.parametrize(
    ("value", "tokens"),
    [("x" * 8, 2), (["x" * 8, "x" * 8], 4), ([1, 2, 3], 3), ([[1, 2], [3]], 3), ([], 0), (None, 0), (5, 0)],
)
def test_lists_of_tokens_count_by_their_length(value, tokens):
    assert Estimate(tokens, 0) == estimate(EMBEDDINGS, {"input": value})


def test_the_parts_of_a_moderation_count_as_in_a_message():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}

    assert Estimate(767, 0) == estimate(MODERATIONS, {"input": [{"type": "text", "text": "x" * 8}, image, 5]})


def test_speech_has_no_completion():
    assert Estimate(2, 0) == estimate(SPEECH, {"input": "x" * 8})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(["messages", "prompt", "input", "tools", "n", "max_tokens", "best_of", "content"])


@given(st.dictionaries(keys, json_values), st.sampled_from(OPERATIONS))
def test_any_body_has_an_estimate(body, operation):
    for found in (estimate(operation, body), fine_estimate(operation, body)):
        assert 0 <= found.prompt <= 100_000_000
        assert found.completion is None or 0 <= found.completion <= 100_000_000


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("abcdefghij", 2.81),
        ("0123456789", 6.73),
        ("..", 0.48),
        ("\n", 1.12),
        ("é", 0.348),
        ("語", 0.742),
        ("😀", 2.08),
        ("a b", 0.562),
        ("", 0.0),
        ("aé語😀1\n", 0.281 + 0.348 + 0.742 + 2.08 + 0.673 + 1.12),
    ],
)
def test_the_finer_estimate_weighs_kinds_of_characters(text, tokens):
    assert tokens == pytest.approx(fine_tokens(text))
