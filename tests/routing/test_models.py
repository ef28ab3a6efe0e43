"""Which models there are, and who can answer a call of one."""

import json

import pytest
from support.samples import call, config, deployment

from gateway.auth.principal import ModelFilter, Principal
from gateway.config.deployment import Alias, Config
from gateway.errors import BadRequest, ModelNotFound
from gateway.protocol.operations import CHAT, EMBEDDINGS, SPEECH
from gateway.routing.models import Models

CREATED = 1_700_000_000
ALL = Principal("master")
SOME = Principal("team", models=ModelFilter(["gpt-*", "b"]))


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
        models(deployment()).check(named("Gpt"), ALL)
    assert (404, "model_not_found") == (caught.value.status, caught.value.code)
    assert "The model `Gpt` does not exist or you do not have access to it." == caught.value.message


def test_azures_paths_get_azures_words():
    with pytest.raises(ModelNotFound) as caught:
        models(deployment()).check(named("other"), ALL, azure_path=True)
    assert "DeploymentNotFound" == caught.value.code
    assert caught.value.message.startswith("The API deployment for this resource does not exist.")


def test_a_model_that_cannot_do_the_operation_says_so():
    with pytest.raises(BadRequest) as caught:
        models(deployment()).check(named("gpt", SPEECH), ALL)
    expected = "The speech operation does not work with the specified model, gpt. Please choose different model and try again."
    assert (expected, "OperationNotSupported") == (caught.value.message, caught.value.code)


def test_the_list_has_every_model_in_the_documents_order():
    listed = Models(Config(models={"b": (deployment(),), "azure/tts-1": (deployment(),)}), CREATED).listing(
        ALL
    )
    entry = {"object": "model", "created": CREATED, "owned_by": "gateway"}
    assert {"object": "list", "data": [{"id": "b", **entry}, {"id": "azure/tts-1", **entry}]} == json.loads(
        listed
    )


def test_one_model_is_the_lists_entry():
    both = models(deployment())
    assert json.loads(both.listing(ALL))["data"] == [json.loads(both.entry("gpt", ALL))]


def test_an_unknown_entry_is_not_found():
    with pytest.raises(ModelNotFound):
        models(deployment()).entry("dep-a", ALL)


def test_neither_names_a_deployment_or_a_host():
    text = models(deployment()).listing(ALL) + models(deployment()).entry("gpt", ALL)
    assert b"dep-a" not in text
    assert b"azure" not in text


def test_a_client_sees_its_own_models_only():
    several = Models(
        Config(models=dict.fromkeys(("b", "gpt-4", "GPT-4", "gpt", "ab"), (deployment(),))), CREATED
    )
    assert ["b", "gpt-4"] == [entry["id"] for entry in json.loads(several.listing(SOME))["data"]]
    assert "gpt-4" == json.loads(several.entry("gpt-4", SOME))["id"]


@pytest.mark.parametrize("azure_path", [False, True])
def test_a_model_that_a_client_may_not_use_is_told_as_one_that_does_not_exist(azure_path):
    both = models(deployment())

    def refusal(name, operation):
        with pytest.raises(ModelNotFound) as caught:
            both.check(named(name, operation), SOME, azure_path=azure_path)
        return caught.value.code, caught.value.message.replace(name, "NAME")

    assert refusal("none", CHAT) == refusal("gpt", CHAT)
    assert refusal("none", SPEECH) == refusal("gpt", SPEECH)
    with pytest.raises(ModelNotFound):
        both.entry("gpt", SOME)


def aliased():
    return Models(
        Config(
            models={"gpt": (deployment(),)},
            aliases={"default": Alias("gpt"), "quiet": Alias("gpt", hidden=True)},
        ),
        CREATED,
    )


@pytest.mark.parametrize("name", ["default", "quiet", "gpt"])
def test_an_alias_is_its_model_in_all_that_follows(name):
    assert "gpt" == aliased().check(named(name), ALL).requested_model
    assert name == json.loads(aliased().entry(name, ALL))["id"]


def test_a_hidden_alias_is_not_listed():
    assert ["gpt", "default"] == aliased().names(ALL)


def test_who_may_use_a_model_may_use_it_by_its_aliases_and_who_may_use_an_alias_gets_that_alone():
    by_model = Principal("team", models=ModelFilter(["gpt"]))
    by_alias = Principal("team", models=ModelFilter(["default"]))

    assert ["gpt", "default"] == aliased().names(by_model)
    assert ["default"] == aliased().names(by_alias)
    assert "gpt" == aliased().check(named("default"), by_alias).requested_model
    with pytest.raises(ModelNotFound):
        aliased().check(named("gpt"), by_alias)
