"""Every path of the API, the functions behind them, and what a wrong method is told."""

import re

import pytest

from gateway.protocol.endpoints import MODELS
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS
from gateway.server.routes import allowed_methods, routes, split_deployment

ALL = list(routes())
BY_NAME = {route.name: route for route in ALL}

POSTS = [
    prefix + path
    for prefix in (
        "/v1/",
        "/",
        "/openai/v1/",
        "/openai/deployments/gpt/",
        "/openai/deployments/azure/gpt/",
        "/openai/deployments/chat/",
    )
    for path in ("chat/completions", "completions", "embeddings", "audio/speech", "moderations")
]
GETS = [
    f"{path}{rest}"
    for path in ("/v1/models", "/models", "/openai/v1/models", "/openai/models")
    for rest in ("", "/gpt", "/azure/tts-1")
]
HEALTH = ["/healthz", "/readyz", "/health/liveliness", "/health/liveness", "/health/readiness"]


@pytest.mark.parametrize(
    ("paths", "methods"),
    [(POSTS, ("POST",)), (GETS, ("GET",)), (HEALTH, ("GET", "HEAD"))],
    ids=["posts", "gets", "health"],
)
def test_each_path_has_its_methods(paths, methods):
    for path in paths:
        assert methods == allowed_methods(path), path


@pytest.mark.parametrize("path", ["/V1/Chat/Completions", "/v1/chat/completions/", "/HEALTHZ"])
def test_case_and_one_closing_slash_do_not_matter(path):
    assert allowed_methods(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/chat",
        "/v1/chat/completions//",
        "/v1/chat/completions/x",
        "/v2/models",
        "/v1/modelsx",
        "/openai/deployments/completions",
        "/openai/deployments//chat/completions",
        "/openai/deployments/gpt/models",
    ],
)
def test_other_paths_are_unknown(path):
    assert () == allowed_methods(path)


def test_names_are_unique_and_valid_for_functions():
    assert len(BY_NAME) == len(ALL)
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,126}", name) for name in BY_NAME)


def test_the_catch_all_sorts_last_and_takes_every_method():
    last = BY_NAME[max(BY_NAME, key=str.lower)]
    assert ("{*path}", "everything_else") == (last.template, last.target)
    assert {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"} == set(last.methods)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("gpt/chat/completions", (CHAT, "gpt")),
        ("gpt/completions", (COMPLETIONS, "gpt")),
        ("azure/gpt/Chat/Completions/", (CHAT, "azure/gpt")),
        ("a b/c/d/embeddings", (EMBEDDINGS, "a b/c/d")),
        ("chat/chat/completions", (CHAT, "chat")),
        ("chat/completions", (COMPLETIONS, "chat")),
        ("embeddings/embeddings", (EMBEDDINGS, "embeddings")),
        ("completions", None),
        ("/completions", None),
        ("gpt", None),
        ("gpt/models", None),
        ("", None),
    ],
)
def test_what_follows_deployments_names_a_model_and_an_operation(rest, expected):
    assert expected == split_deployment(rest)


def test_templates_lead_to_their_operation():
    assert CHAT is BY_NAME["chat_completions_azure_v1"].target
    assert "openai/deployments/{*rest}" == BY_NAME["deployments_azure"].template
    assert (MODELS, "v1/models/{*model}") == (BY_NAME["models_v1"].target, BY_NAME["models_v1"].template)
