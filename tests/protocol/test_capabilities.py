"""What is known of models, found by the names that people give them."""

import pytest

from gateway.protocol.capabilities import COMPLETES_TEXTS, ORDINARY, REASONING, capabilities_of


@pytest.mark.parametrize(
    "name",
    [
        "o3-mini",
        "azure/o3-mini",
        "azure/eu/o3-mini-2025-01-31",
        "O3-Mini",
        " azure/gpt-5-mini ",
        "gpt-5.9-nano",
    ],
)
def test_a_reasoning_model_is_found_with_a_provider_and_a_version_or_without(name):
    assert REASONING == capabilities_of(name)


@pytest.mark.parametrize(
    ("name", "system_messages", "streams"),
    [
        ("o1-mini", False, False),
        ("azure/o1-preview-2024-09-12", False, False),
        ("o1", True, False),
        ("azure/o1-2024-12-17", True, False),
        ("o1-pro", True, False),
        ("o3", True, True),
        ("o3-pro", True, False),
        ("o4-mini", True, True),
        ("gpt-5-pro-2025-10-06", True, False),
        ("gpt-5.1", True, True),
    ],
)
def test_reasoning_models_differ_in_roles_and_streams(name, system_messages, streams):
    known = capabilities_of(name)

    assert (system_messages, streams, True) == (
        known.system_messages,
        known.streams,
        known.renames_max_tokens,
    )


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "azure/gpt-4o-2024-08-06",
        "gpt-4.1-mini",
        "gpt-35-turbo",
        "gpt-4-1106-preview",
        "gpt-5-chat-latest",
    ],
)
def test_most_models_take_what_most_models_take(name):
    assert ORDINARY == capabilities_of(name)


@pytest.mark.parametrize("name", ["gpt-3.5-turbo-instruct", "azure/gpt-35-turbo-instruct-0914"])
def test_instruct_models_complete_texts(name):
    assert COMPLETES_TEXTS == capabilities_of(name)


@pytest.mark.parametrize("name", ["demo1-gpt4o", "foo1", "whisper-1", "mistral-o3", "gpt-oss-120b", ""])
def test_a_name_that_only_holds_another_is_unknown(name):
    assert capabilities_of(name) is None
