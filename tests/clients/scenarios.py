"""What a user does with the Python clients, told as JSON. Run with each client's own interpreter.

Usage: python scenarios.py openai|langchain KEY TAG [BASE_URL SCENARIO,... (or "" for all)]...
Prints [{client: {scenario: result}}], one for each gateway; a scenario that raises has the result {"raised": ...}.
TAG is part of the names of the models that nobody else calls.
"""

import json
import sys
import time

import openai
import pydantic

MESSAGES = [{"role": "user", "content": "Say hello"}]
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": PARAMETERS},
}
CALLS_TOOL = [{"role": "user", "content": "Weather? [[tool]]"}]
FILTERED = [{"role": "user", "content": "[[filter:hate]]"}]
WITHHELD = [{"role": "user", "content": "[[filter-out-bare:violence]]"}]
LARGE = [{"role": "user", "content": "x" * 300_000}]


class Person(pydantic.BaseModel):
    name: str
    age: int


def vision(tag):
    parts = [
        {"type": "text", "text": f"What is this? {tag}"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    return [{"role": "user", "content": parts}]


def failure(action, *, message=False):
    """How the error looks that `action` ends in; with its message where that is asked for."""
    try:
        action()
    except openai.APIError as error:
        looks = {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "request_id": bool(getattr(error, "request_id", None)),
        }
        return looks | ({"message": str(error)} if message else {})
    return "no error"


def timed(action):
    """The result of `action` and whether it took the two seconds that Retry-After asks for."""
    began = time.monotonic()
    result = action()
    return {"text": result, "waited": 1.9 < time.monotonic() - began}


class OpenAI:
    """The official client: OpenAI(base_url) or AzureOpenAI(azure_endpoint)."""

    def __init__(self, kind, base, key, tag):
        self.kind, self.base, self.key, self.tag = kind, base, key, f"{tag}-{kind}"
        self.client = self.make(key)
        self.create = self.client.chat.completions.create

    def make(self, key, **options):
        options = {"max_retries": 0, "timeout": 30} | options
        if self.kind == "OpenAI":
            return openai.OpenAI(base_url=f"{self.base}/v1", api_key=key, **options)
        return openai.AzureOpenAI(azure_endpoint=self.base, api_key=key, api_version="2024-10-21", **options)

    def chat(self):
        reply = self.create(model="fixed", messages=MESSAGES)
        choice = reply.choices[0]
        usage = reply.usage
        return {
            "text": choice.message.content,
            "finish": choice.finish_reason,
            "usage": usage.total_tokens == usage.prompt_tokens + usage.completion_tokens,
            "request_id": reply._request_id.startswith("req_"),
        }

    def stream(self):
        chunks = list(self.create(model="fixed", messages=MESSAGES, stream=True))
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
        return {
            "text": "".join(choice.delta.content or "" for choice in choices),
            "finish": choices[-1].finish_reason,
            "usage": [chunk.usage for chunk in chunks if chunk.usage],
        }

    def stream_with_usage(self):
        options = {"stream": True, "stream_options": {"include_usage": True}}
        last = list(self.create(model="fixed", messages=MESSAGES, **options))[-1]
        return {"choices": last.choices, "usage": last.usage.total_tokens > 0}

    def tools(self):
        choice = self.create(model="gpt-4o", messages=CALLS_TOOL, tools=[TOOL]).choices[0]
        function = choice.message.tool_calls[0].function
        return {
            "finish": choice.finish_reason,
            "name": function.name,
            "arguments": json.loads(function.arguments),
        }

    def tools_in_a_stream(self):
        chunks = self.create(model="gpt-4o", messages=CALLS_TOOL, tools=[TOOL], stream=True)
        parts = [
            part for chunk in chunks if chunk.choices for part in chunk.choices[0].delta.tool_calls or []
        ]
        arguments = "".join(part.function.arguments or "" for part in parts)
        return {"name": parts[0].function.name, "arguments": json.loads(arguments)}

    def structured(self):
        completions = self.client.chat.completions
        reply = completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Person)
        return reply.choices[0].message.parsed.model_dump()

    def vision(self):
        return self.create(model="fixed", messages=vision(self.tag)).choices[0].message.content

    def embeddings(self):
        data = self.client.embeddings.create(model="embed", input=["hello", "world"]).data
        return [[round(number, 4) for number in item.embedding[:3]] for item in data]

    def speech(self):
        return self.client.audio.speech.create(model="tts", voice="alloy", input="Hello").content.hex()[:64]

    def completions(self):
        return bool(self.client.completions.create(model="instruct", prompt="Say hello").choices[0].text)

    def models(self):
        return "gpt-4o" in [model.id for model in self.client.models.list()]

    def withheld(self):
        choice = self.create(model="gpt-4o", messages=WITHHELD).choices[0]
        return {"finish": choice.finish_reason, "content": choice.message.content}

    def fails(self, model="gpt-4o", messages=MESSAGES, **options):
        return failure(lambda: self.create(model=model, messages=messages, **options))

    def filtered(self):
        return self.fails(messages=FILTERED)

    def filtered_in_a_stream(self):
        return self.fails(messages=FILTERED, stream=True)

    def wrong_key(self):
        return failure(lambda: self.make("wrong").chat.completions.create(model="gpt-4o", messages=MESSAGES))

    def unknown_model(self):
        return self.fails("nothing")

    def too_large(self):
        return self.fails(messages=LARGE)

    def limited(self):
        return self.fails("limited")

    def broken(self):
        return self.fails(f"broken-{self.tag}")

    def unreachable(self):
        return self.fails("unreachable")

    def torn_stream(self):
        return failure(
            lambda: list(self.create(model=f"torn-{self.tag}", messages=MESSAGES, stream=True)), message=True
        )

    def responses(self):
        return failure(lambda: self.client.responses.create(model="gpt-4o", input="hello"), message=True)

    def retry_after(self):
        client = self.make(self.key, max_retries=1)
        create = client.chat.completions.create
        return timed(lambda: create(model=f"busy-{self.tag}", messages=MESSAGES).choices[0].message.content)

    def leaves_a_stream(self):
        stream = self.create(model=f"stalled-{self.tag}", messages=MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
        return "left"

    def leaves_before_the_reply(self):
        create = self.make(self.key, timeout=2).chat.completions.create
        return failure(lambda: create(model=f"silent-{self.tag}", messages=MESSAGES))["class"]


class LangChain:
    """LangChain's ChatOpenAI(base_url) or AzureChatOpenAI(azure_endpoint)."""

    def __init__(self, kind, base, key, tag):
        self.kind, self.base, self.key, self.tag = kind, base, key, f"{tag}-{kind}"

    def make(self, model, **options):
        import langchain_openai

        options = {"api_key": self.key, "max_retries": 0, "timeout": 30} | options
        if self.kind == "ChatOpenAI":
            return langchain_openai.ChatOpenAI(model=model, base_url=f"{self.base}/v1", **options)
        options |= {"azure_endpoint": self.base, "api_version": "2024-10-21"}
        return langchain_openai.AzureChatOpenAI(azure_deployment=model, **options)

    def chat(self):
        reply = self.make("fixed").invoke("Say hello")
        usage = reply.usage_metadata
        return {
            "text": reply.content,
            "finish": reply.response_metadata["finish_reason"],
            "usage": usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"],
            "request_id": True,  # LangChain shows it on errors only
        }

    def stream(self):
        chunks = list(self.make("fixed", stream_usage=False).stream("Say hello"))
        return {
            "text": "".join(chunk.content for chunk in chunks),
            "finish": next(filter(None, (chunk.response_metadata.get("finish_reason") for chunk in chunks))),
            "usage": [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata],
        }

    def stream_with_usage(self):
        chunks = list(self.make("fixed", stream_usage=True).stream("Say hello"))
        usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
        return {"choices": [], "usage": len(usages) == 1 and usages[0]["total_tokens"] > 0}

    def tools(self):
        reply = self.make("gpt-4o").bind_tools([TOOL]).invoke(CALLS_TOOL)
        call = reply.tool_calls[0]
        return {
            "finish": reply.response_metadata["finish_reason"],
            "name": call["name"],
            "arguments": call["args"],
        }

    def tools_in_a_stream(self):
        chunks = list(self.make("gpt-4o").bind_tools([TOOL]).stream(CALLS_TOOL))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return {"name": whole.tool_calls[0]["name"], "arguments": whole.tool_calls[0]["args"]}

    def structured(self):
        model = self.make("gpt-4o").with_structured_output(Person, method="json_schema")
        return model.invoke("Say hello").model_dump()

    def vision(self):
        return self.make("fixed").invoke(vision(self.tag)).content

    def embeddings(self):
        import langchain_openai

        # The length check would fetch a tokenizer from the Internet.
        options = {"api_key": self.key, "max_retries": 0, "check_embedding_ctx_length": False}
        if self.kind == "ChatOpenAI":
            model = langchain_openai.OpenAIEmbeddings(model="embed", base_url=f"{self.base}/v1", **options)
        else:
            options |= {"azure_endpoint": self.base, "api_version": "2024-10-21"}
            model = langchain_openai.AzureOpenAIEmbeddings(azure_deployment="embed", **options)
        return [
            [round(number, 4) for number in item[:3]] for item in model.embed_documents(["hello", "world"])
        ]

    def withheld(self):
        reply = self.make("gpt-4o").invoke(WITHHELD)
        return {"finish": reply.response_metadata["finish_reason"], "content": reply.content or None}

    def fails(self, model="gpt-4o", messages=MESSAGES):
        return failure(lambda: self.make(model).invoke(messages))

    def filtered(self):
        return self.fails(messages=FILTERED)

    def filtered_in_a_stream(self):
        return failure(lambda: list(self.make("gpt-4o").stream(FILTERED)))

    def wrong_key(self):
        return failure(lambda: self.make("gpt-4o", api_key="wrong").invoke(MESSAGES))

    def unknown_model(self):
        return self.fails("nothing")

    def too_large(self):
        return self.fails(messages=LARGE)

    def limited(self):
        return self.fails("limited")

    def broken(self):
        return self.fails(f"broken-{self.tag}")

    def unreachable(self):
        return self.fails("unreachable")

    def torn_stream(self):
        return failure(lambda: list(self.make(f"torn-{self.tag}").stream(MESSAGES)), message=True)

    def responses(self):
        return failure(lambda: self.make("gpt-4o", use_responses_api=True).invoke(MESSAGES), message=True)

    def retry_after(self):
        model = self.make(f"busy-{self.tag}", max_retries=1)
        return timed(lambda: model.invoke(MESSAGES).content)

    def leaves_a_stream(self):
        stream = self.make(f"stalled-{self.tag}").stream(MESSAGES)
        next(stream)
        stream.close()
        return "left"

    def leaves_before_the_reply(self):
        model = self.make(f"silent-{self.tag}", timeout=2)
        return failure(lambda: model.invoke(MESSAGES))["class"]


FAMILIES = {
    "openai": (OpenAI, ("OpenAI", "AzureOpenAI")),
    "langchain": (LangChain, ("ChatOpenAI", "AzureChatOpenAI")),
}
NO_SCENARIOS = {"make", "fails"}


def run(client, only):
    results = {}
    for name in vars(type(client)):
        if name.startswith("_") or name in NO_SCENARIOS or (only and name not in only):
            continue
        try:
            results[name] = getattr(client, name)()
        except Exception as error:
            results[name] = {"raised": f"{type(error).__name__}: {error}"[:500]}
    return results


if __name__ == "__main__":
    family, kinds = FAMILIES[sys.argv[1]]
    key, tag, *gateways = sys.argv[2:]
    reports = []
    for url, only in zip(gateways[::2], gateways[1::2], strict=True):
        names = only.split(",") if only else []
        reports.append({kind: run(family(kind, url, key, tag), names) for kind in kinds})
    print(json.dumps(reports))
