from __future__ import annotations

import functools
import ssl

import pytest
from support import combinations, fixtures
from support.calls import KEY
from support.gateways import Gateway, start_gateway
from support.upstream import gateway_config

simulator, pool = fixtures.simulator, fixtures.pool
pytest_generate_tests = combinations.pytest_generate_tests


@pytest.fixture(scope="session")
def gateway(request, simulator) -> Gateway:
    """The gateway with its default settings."""
    with start_gateway(request.param, gateway_config(simulator.url)) as running:
        yield running


@pytest.fixture(scope="session")
def impatient(request, simulator) -> Gateway:
    """The gateway with keep-alives after 0.2 s of silence."""
    with start_gateway(request.param, gateway_config(simulator.url), GATEWAY_KEEP_ALIVE="0.2") as running:
        yield running


@functools.cache
def authorities():
    """The certificates that each client of its own would read anew, for 40 ms."""
    return ssl.create_default_context()


def patient():
    """What each of OpenAI's clients here is made with."""
    import openai

    http = openai.DefaultHttpxClient(verify=authorities(), timeout=120)
    return {"api_key": KEY, "max_retries": 0, "timeout": 120, "http_client": http}


@pytest.fixture
def openai_client(gateway):
    """OpenAI's client with a base URL, as for any OpenAI-compatible service."""
    import openai

    with openai.OpenAI(base_url=f"{gateway.url}/v1", **patient()) as client:
        yield client


@pytest.fixture
def azure_client(gateway):
    """OpenAI's client for Azure, which names the deployment in the path."""
    import openai

    with openai.AzureOpenAI(azure_endpoint=gateway.url, api_version="2024-10-21", **patient()) as client:
        yield client


@pytest.fixture(params=["OpenAI", "AzureOpenAI"])
def client(request, gateway):
    """Both clients in turn."""
    return request.getfixturevalue("openai_client" if request.param == "OpenAI" else "azure_client")
