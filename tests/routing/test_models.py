"""Which models there are, and who can answer a call of one."""

import json

import pytest
from support.samples import call, config, deployment

from gateway.config.deployment import Config
from gateway.errors import BadRequest, ModelNotFound
from gateway.protocol.operations import CHAT, EMBEDDINGS, SPEECH
from gateway.routing.models import Models

CREATED = 1_700_000_000


def models(*members):
    return Models(config(*members), CREATED)


def named(name, operation=CHAT):
    return call(operation, path_model=name)


def test_a_group_is_what_serves_the_operation():
    chat, embeddings = deployment("a"), deployment("b", operations=("embeddings",))
    assert [chat] == models(chat, embeddings).able("gpt", CHAT)
    assert [embeddings] == models(chat, embeddings).able("gpt", EMBEDDINGS)


def test_an_unknown_model_is_not_found():
    with pytest.raises(ModelNotFound) as caught:
        models(deployment()).check(named("Gpt"))
    assert (404, "model_not_found") == (caught.value.status, caught.value.code)
    assert "The model `Gpt` does not exist or you do not have access to it." == caught.value.message


def test_azures_paths_get_azures_words():
    with pytest.raises(ModelNotFound) as caught:
        models(deployment()).check(named("other"), azure_path=True)
    assert "DeploymentNotFound" == caught.value.code
    assert caught.value.message.startswith("The API deployment for this resource does not exist.")


def test_a_model_that_cannot_do_the_operation_says_so():
    with pytest.raises(BadRequest) as caught:
        models(deployment()).check(named("gpt", SPEECH))
    expected = "The speech operation does not work with the specified model, gpt. Please choose different model and try again."
    assert (expected, "OperationNotSupported") == (caught.value.message, caught.value.code)


def test_the_list_has_every_model_in_the_documents_order():
    listed = Models(Config(models={"b": (deployment(),), "azure/tts-1": (deployment(),)}), CREATED).listing()
    entry = {"object": "model", "created": CREATED, "owned_by": "gateway"}
    assert {"object": "list", "data": [{"id": "b", **entry}, {"id": "azure/tts-1", **entry}]} == json.loads(
        listed
    )


def test_one_model_is_the_lists_entry():
    both = models(deployment())
    assert json.loads(both.listing())["data"] == [json.loads(both.entry("gpt"))]


def test_an_unknown_entry_is_not_found():
    with pytest.raises(ModelNotFound):
        models(deployment()).entry("dep-a")


def test_neither_names_a_deployment_or_a_host():
    text = models(deployment()).listing() + models(deployment()).entry("gpt")
    assert b"dep-a" not in text
    assert b"azure" not in text
