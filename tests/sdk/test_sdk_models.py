"""Models of LiteLLM's page that take other bodies than most, called from Python."""

from __future__ import annotations

import pytest
from support.python_api import KEY, MESSAGES

import gateway
from gateway import exceptions

INSTRUCTED = [{"role": "system", "content": "Be brief."}, *MESSAGES]


def where(simulator):
    return {"api_base": simulator.url, "api_key": KEY}


def test_a_reasoning_model_is_called_and_streamed_as_it_takes_it(simulator):
    asked = {
        "model": "azure/thinker",
        "base_model": "azure/o1-mini",
        "messages": INSTRUCTED,
        "max_tokens": 500,
    }

    whole = gateway.completion(**asked, **where(simulator))
    chunks = list(gateway.completion(**asked, stream=True, **where(simulator)))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole.choices[0].message.content == text
    assert ("assistant", "stop") == (chunks[0].choices[0].delta.role, chunks[-1].choices[0].finish_reason)


def test_a_parameter_that_the_model_refuses_is_told_or_left_out(simulator):
    asked = {"model": "azure/o_series/thinker", "messages": MESSAGES, "temperature": 0.5}

    with pytest.raises(exceptions.BadRequestError) as caught:
        gateway.completion(**asked, **where(simulator))

    assert "temperature" in str(caught.value)
    assert gateway.completion(**asked, drop_params=True, **where(simulator)).choices


def test_a_chat_on_an_instruct_model_answers_as_a_chat(simulator):
    asked = {"model": "azure_text/instruct", "messages": INSTRUCTED}

    whole = gateway.completion(**asked, **where(simulator))
    chunks = list(gateway.completion(**asked, stream=True, **where(simulator)))

    assert ("chat.completion", "assistant") == (whole.object, whole.choices[0].message.role)
    assert whole.choices[0].message.content == "".join(
        chunk.choices[0].delta.content or "" for chunk in chunks
    )
