"""The Python of LiteLLM's Azure page runs with `import gateway as litellm`, the simulated Azure behind it.

Each block is run as it is printed (tests/data/litellm-azure-page.md), but for its placeholders and for the repairs below,
which docs/python-api.md lists with their reasons.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest
from aiohttp import web
from doubles.identity import ManagedIdentity
from doubles.server import Double
from support.python_api import KEY, PLATFORM_KEY, body, header, token

import gateway

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "tests" / "data" / "litellm-azure-page.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## (\S+)\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
DOCS = " ".join((ROOT / "docs" / "python-api.md").read_text().split())

pytestmark = pytest.mark.system

#: Block -> what is put in place of what, and why.
REPAIRS = {
    "completion-by-variables": [("", "import os\n", "uses `os` without importing it")],
    "instruct": [("", "import os\n", "uses `os` without importing it")],
    "speech": [
        (
            "from litellm import completion",
            "from litellm import speech",
            "imports `completion` and calls `speech`",
        ),
        ("", "import os\nfrom pathlib import Path\n", "uses `os` and `Path` without importing them"),
    ],
    "token-again": [("", "import litellm\n", "imports nothing")],
    "token-provider": [
        (
            "azure_ad_token_provider=token_provider\n",
            "azure_ad_token_provider=token_provider,\n",
            "lacks a comma",
        ),
    ],
    "router": [
        ("how's it going?\"}]\n", "how's it going?\"}])\n", "lacks a closing bracket"),
        ("", "import os\n", "uses `os` without importing it"),
    ],
    "router-redis": [("", "import os\nfrom litellm import Router\n", "goes on from the block before it")],
}
#: The one change that moving takes.
IMPORTS = [("from litellm import", "from gateway import"), ("import litellm", "import gateway as litellm")]

VARIABLES = (
    *("AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION", "AZURE_AD_TOKEN", "AZURE_API_TYPE"),
    *("AZURE_VISION_API_KEY", "AZURE_VISION_ENHANCE_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    *("REDIS_HOST", "REDIS_PASSWORD", "REDIS_PORT"),
)


class Extensions(Double):
    """Azure's old path for vision, which takes `enhancements` and `dataSources`."""

    async def answer(self, asked):
        message = {"role": "assistant", "content": "A cat."}
        return web.json_response({"id": "1", "choices": [{"index": 0, "message": message}]})


def filled(source, url):
    """A block with its placeholders filled in."""
    for old, new in (
        (r"""(AZURE_API_KEY['"]\] = )("your-api-key"|"")""", rf'\1"{KEY}"'),
        (r"""(AZURE_API_BASE['"]\] = )("https://[^"]*"|"")""", rf'\1"{url}/"'),
        (r'api_base = ""', f'api_base = "{url}"'),
        (r'api_key = ""', f'api_key = "{KEY}"'),
        (r'azure_ad_token=""', f'azure_ad_token="{token()}"'),
        (r'"azure(_text)?/<your[^"]*"', r'"azure\1/DEPLOYMENT"'),
        (r"https://gpt-4-vision-resource\.openai\.azure\.com", url),
    ):
        source = re.sub(old, new, source)
    deployment = "tts" if "speech(" in source else "instruct" if "azure_text/" in source else "chatgpt-v-2"
    return source.replace("DEPLOYMENT", deployment)


def repaired(name):
    source = BLOCKS[name]
    for old, new, _ in REPAIRS.get(name, ()):
        assert old in source
        source = source.replace(old, new, 1) if old else new + source
    for old, new in IMPORTS:
        source = source.replace(old, new)
    return source


@pytest.fixture
def run(simulator, monkeypatch, tmp_path):
    """Runs a block; its variables, and what the simulated Azure has seen of it."""

    def running(name, *, url=simulator.url, **more):
        for variable in VARIABLES:
            # Set and deleted once, so that what a block sets itself is undone.
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)
        given = {"AZURE_API_BASE": url, "AZURE_API_KEY": KEY}
        for variable, value in (given | more.pop("environ", {})).items():
            monkeypatch.setenv(variable, value)
        seen = len(simulator.log)
        names = {"__name__": "__main__", "__file__": str(tmp_path / "script.py"), **more}
        exec(compile(filled(repaired(name), url), f"{name}.py", "exec"), names)  # noqa: S102
        return names, simulator.log[seen:]

    return running


def test_calls_by_variables_arguments_and_tokens(run, monkeypatch):
    run("variables")
    monkeypatch.undo()
    for name in ("completion-by-variables", "completion-by-arguments", "completion-by-token", "token-again"):
        names, (entry,) = run(name)

        assert "simulated" in names["response"].choices[0].message.content
        assert "/openai/deployments/chatgpt-v-2/chat/completions" == entry["path"]
        sent = (header(entry, "api-key"), header(entry, "authorization"))
        assert ((None, f"Bearer {token()}") if "token" in name else (KEY, None)) == sent


def test_vision(run):
    names, (entry,) = run("vision")

    assert names["response"].choices
    assert ["text", "image_url"] == [part["type"] for part in body(entry)["messages"][0]["content"]]


def test_vision_enhancements(run):
    keys = {"AZURE_VISION_API_KEY": "vision-key", "AZURE_VISION_ENHANCE_KEY": "enhance-key"}
    with Extensions() as azure:
        names, _ = run("vision-enhancements", url=azure.url, environ=keys)

    (asked,) = azure.requests
    sent = json.loads(asked.body)
    assert "A cat." == names["response"].choices[0].message.content
    assert "/openai/deployments/gpt-4-vision/extensions/chat/completions" == asked.path
    assert ("vision-key", {"ocr": {"enabled": True}, "grounding": {"enabled": True}}, "enhance-key") == (
        asked.headers["api-key"],
        sent["enhancements"],
        sent["dataSources"][0]["parameters"]["key"],
    )


def test_streaming(run, capsys):
    _, (entry,) = run("o1-stream")

    assert (True, True) == (body(entry)["stream"], "finish_reason='stop'" in capsys.readouterr().out)
    gateway.enable_preview_features = False


def test_an_instruct_model_answers_a_chat(run):
    names, (entry,) = run("instruct")

    assert ("/openai/deployments/instruct/completions", True) == (entry["path"], "prompt" in body(entry))
    assert "assistant" == names["response"].choices[0].message.role


def test_speech(run, tmp_path):
    names, (entry,) = run("speech")

    assert "/openai/deployments/tts/audio/speech" == entry["path"]
    assert names["response"].content == (tmp_path / "speech.mp3").read_bytes() != b""


def test_a_provider_of_azure_identitys(run):
    with ManagedIdentity() as identity:
        names, (entry,) = run("token-provider", environ=identity.environment)

    assert names["response"].choices
    assert [
        ("https://cognitiveservices.azure.com", "00000000-0000-0000-0000-00000000aaaa")
    ] == identity.issued
    assert (True, None) == (header(entry, "authorization").startswith("Bearer "), header(entry, "api-key"))


def test_a_router_with_and_without_redis(run, simulator):
    openai = {"OPENAI_API_KEY": PLATFORM_KEY, "OPENAI_BASE_URL": f"{simulator.url}/v1"}

    names, entries = run("router", environ=openai)
    assert (1, True) == (len(entries), bool(names["response"].choices[0].message.content))

    redis = {"REDIS_HOST": "redis.invalid", "REDIS_PASSWORD": "very-secret", "REDIS_PORT": "6380"}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        names, _ = run(
            "router-redis", environ=openai | redis, model_list=names["model_list"], response=names["response"]
        )
    said = " ".join(str(each.message) for each in warned)
    assert ("redis_host" in said, "very-secret" in said) == (True, False)
    assert names["router"].completion("gpt-3.5-turbo", [{"role": "user", "content": "Hi"}]).choices


def test_parallel_function_calling(run, capsys):
    names, (entry,) = run("tools")

    assert ("auto", "get_current_weather") == (
        body(entry)["tool_choice"],
        body(entry)["tools"][0]["function"]["name"],
    )
    assert "api-version=2023-07-01-preview" == entry["query"]
    assert names["tool_calls"] is names["response_message"].tool_calls
    assert "Tool Choice" in capsys.readouterr().out


def test_every_repair_is_listed_with_its_reason():
    assert REPAIRS.keys() <= BLOCKS.keys()
    for name, repairs in REPAIRS.items():
        for _, _, reason in repairs:
            assert f"`{name}`" in DOCS
            assert reason in DOCS, reason
