// What a user does with the JavaScript clients, told as JSON; the counterpart of scenarios.py.
//
// Usage: node --input-type=module - openai-4|openai-7|ai-sdk KEY TAG [BASE_URL SCENARIO,...]... <scenarios.mjs

const [family, key, programTag, ...gateways] = process.argv.slice(2);
let base;

const MESSAGES = [{ role: "user", content: "Say hello" }];
const PIXEL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PARAMETERS = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const PERSON = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
const CALLS_TOOL = [{ role: "user", content: "Weather? [[tool]]" }];
const FILTERED = [{ role: "user", content: "[[filter:hate]]" }];
const WITHHELD = [{ role: "user", content: "[[filter-out-bare:violence]]" }];
const LARGE = [{ role: "user", content: "x".repeat(300_000) }];

const collect = async (pieces) => {
  const all = [];
  for await (const piece of pieces) all.push(piece);
  return all;
};

const rounded = (vectors) => vectors.map((vector) => [...vector.slice(0, 3)].map((n) => Math.round(n * 1e4) / 1e4));

// Result of an action and whether it took the two seconds that Retry-After asks for.
const timed = async (action) => {
  const began = performance.now();
  const text = await action();
  const seconds = (performance.now() - began) / 1000;
  return { text, waited: 1.9 < seconds };
};

const hex = (bytes) => Buffer.from(bytes).toString("hex").slice(0, 64);

class OpenAIClient {
  constructor(module, kind) {
    this.module = module;
    this.kind = kind;
    this.tag = `${programTag}-${kind}`;
    this.client = this.make(key);
  }

  make(apiKey, options = {}) {
    const all = { apiKey, maxRetries: 0, timeout: 30_000, ...options };
    if (this.kind === "OpenAI") return new this.module.OpenAI({ baseURL: `${base}/v1`, ...all });
    return new this.module.AzureOpenAI({ endpoint: base, apiVersion: "2024-10-21", ...all });
  }

  create(body, options) {
    return this.client.chat.completions.create({ messages: MESSAGES, ...body }, options);
  }

  // How the error looks that an action ends in; with its message where that is asked for.
  async failure(action, { message = false } = {}) {
    try {
      await action();
    } catch (error) {
      return {
        class: error.constructor.name,
        status: error.status ?? null,
        code: error.code ?? null,
        // Its name changed with version 5.
        request_id: Boolean(error.requestID ?? error.request_id),
        ...(message ? { message: error.message } : {}),
      };
    }
    return "no error";
  }

  fails(body) {
    return this.failure(async () => await this.create({ model: "gpt-4o", ...body }));
  }

  scenarios = {
    chat: async () => {
      const reply = await this.create({ model: "fixed" });
      const { usage } = reply;
      return {
        text: reply.choices[0].message.content,
        finish: reply.choices[0].finish_reason,
        usage: usage.total_tokens === usage.prompt_tokens + usage.completion_tokens,
        request_id: reply._request_id.startsWith("req_"),
      };
    },
    stream: async () => {
      const chunks = await collect(await this.create({ model: "fixed", stream: true }));
      const choices = chunks.flatMap((chunk) => chunk.choices);
      return {
        text: choices.map((choice) => choice.delta.content ?? "").join(""),
        finish: choices.at(-1).finish_reason,
        usage: chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage),
      };
    },
    stream_with_usage: async () => {
      const options = { stream: true, stream_options: { include_usage: true } };
      const last = (await collect(await this.create({ model: "fixed", ...options }))).at(-1);
      return { choices: last.choices, usage: last.usage.total_tokens > 0 };
    },
    tools: async () => {
      const tools = [{ type: "function", function: { name: "get_weather", parameters: PARAMETERS } }];
      const [choice] = (await this.create({ model: "gpt-4o", messages: CALLS_TOOL, tools })).choices;
      const { name, arguments: text } = choice.message.tool_calls[0].function;
      return { finish: choice.finish_reason, name, arguments: JSON.parse(text) };
    },
    tools_in_a_stream: async () => {
      const tools = [{ type: "function", function: { name: "get_weather", parameters: PARAMETERS } }];
      const chunks = await collect(await this.create({ model: "gpt-4o", messages: CALLS_TOOL, tools, stream: true }));
      const parts = chunks.flatMap((chunk) => chunk.choices).flatMap((choice) => choice.delta.tool_calls ?? []);
      const text = parts.map((part) => part.function.arguments ?? "").join("");
      return { name: parts[0].function.name, arguments: JSON.parse(text) };
    },
    structured: async () => {
      const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: PERSON } };
      // It left the beta with version 5.
      const { completions } = this.client.chat.completions.parse ? this.client.chat : this.client.beta.chat;
      const reply = await completions.parse({ model: "gpt-4o", messages: MESSAGES, response_format: format });
      return JSON.parse(reply.choices[0].message.content);
    },
    vision: async () => {
      const parts = [
        { type: "text", text: `What is this? ${this.tag}` },
        { type: "image_url", image_url: { url: PIXEL } },
      ];
      const reply = await this.create({ model: "fixed", messages: [{ role: "user", content: parts }] });
      return reply.choices[0].message.content;
    },
    embeddings: async () => {
      const reply = await this.client.embeddings.create({ model: "embed", input: ["hello", "world"] });
      return rounded(reply.data.map((item) => item.embedding));
    },
    speech: async () => {
      const reply = await this.client.audio.speech.create({ model: "tts", voice: "alloy", input: "Hello" });
      return hex(await reply.arrayBuffer());
    },
    completions: async () => {
      const reply = await this.client.completions.create({ model: "instruct", prompt: "Say hello" });
      return Boolean(reply.choices[0].text);
    },
    models: async () => (await collect(this.client.models.list())).some((model) => model.id === "gpt-4o"),
    withheld: async () => {
      const [choice] = (await this.create({ model: "gpt-4o", messages: WITHHELD })).choices;
      return { finish: choice.finish_reason, content: choice.message.content };
    },
    filtered: () => this.fails({ messages: FILTERED }),
    filtered_in_a_stream: () => this.fails({ messages: FILTERED, stream: true }),
    wrong_key: () =>
      this.failure(() => this.make("wrong").chat.completions.create({ model: "gpt-4o", messages: MESSAGES })),
    unknown_model: () => this.fails({ model: "nothing" }),
    too_large: () => this.fails({ messages: LARGE }),
    limited: () => this.fails({ model: "limited" }),
    broken: () => this.fails({ model: `broken-${this.tag}` }),
    unreachable: () => this.fails({ model: "unreachable" }),
    torn_stream: () =>
      this.failure(async () => collect(await this.create({ model: `torn-${this.tag}`, stream: true })), { message: true }),
    responses: () =>
      this.failure(() => this.client.responses.create({ model: "gpt-4o", input: "hello" }), { message: true }),
    retry_after: () => {
      const { completions } = this.make(key, { maxRetries: 1 }).chat;
      return timed(async () => {
        const reply = await completions.create({ model: `busy-${this.tag}`, messages: MESSAGES });
        return reply.choices[0].message.content;
      });
    },
    leaves_a_stream: async () => {
      for await (const _ of await this.create({ model: `stalled-${this.tag}`, stream: true })) break;
      return "left";
    },
    leaves_before_the_reply: async () => {
      const signal = AbortSignal.timeout(2000);
      return (await this.failure(() => this.create({ model: `silent-${this.tag}` }, { signal }))).class;
    },
  };
}

class AiSdk {
  constructor(ai, makers, kind) {
    this.ai = ai;
    this.makers = makers;
    this.kind = kind;
    this.tag = `${programTag}-${kind}`;
    this.provider = this.make(key);
  }

  make(apiKey) {
    const { createOpenAI, createAzure, createOpenAICompatible } = this.makers;
    switch (this.kind) {
      case "openai":
        return createOpenAI({ baseURL: `${base}/v1`, apiKey });
      case "compatible":
        return createOpenAICompatible({
          name: "gateway",
          baseURL: `${base}/v1`,
          apiKey,
          supportsStructuredOutputs: true,
        });
      case "azure":
        return createAzure({ baseURL: `${base}/openai/v1`, apiKey });
      default:
        return createAzure({ baseURL: `${base}/openai`, apiKey, useDeploymentBasedUrls: true });
    }
  }

  chatModel(name, provider = this.provider) {
    return this.kind === "compatible" ? provider.chatModel(name) : provider.chat(name);
  }

  call(name, options = {}) {
    return { model: this.chatModel(name), messages: MESSAGES, maxRetries: 0, ...options };
  }

  tools() {
    const { tool, jsonSchema } = this.ai;
    return { get_weather: tool({ description: "Weather", inputSchema: jsonSchema(PARAMETERS) }) };
  }

  // Streams report errors as parts, and to a callback that writes to the console.
  async parts(options) {
    return collect(this.ai.streamText({ ...options, onError: () => {} }).fullStream);
  }

  describe(error, message) {
    return {
      class: error.name,
      status: error.statusCode ?? null,
      code: error.data?.error?.code ?? null,
      request_id: Boolean(error.responseHeaders?.["x-request-id"]),
      ...(message ? { message: error.message } : {}),
    };
  }

  async failure(action, { message = false } = {}) {
    try {
      await action();
    } catch (error) {
      return this.describe(error, message);
    }
    return "no error";
  }

  async streamFailure(options, { message = false } = {}) {
    const part = (await this.parts(options)).find((candidate) => candidate.type === "error");
    return part ? this.describe(part.error, message) : "no error";
  }

  fails(name, options) {
    return this.failure(() => this.ai.generateText(this.call(name, options)));
  }

  scenarios = {
    chat: async () => {
      const { text, finishReason, usage, response } = await this.ai.generateText(this.call("fixed"));
      return {
        text,
        finish: finishReason,
        usage: usage.totalTokens === usage.inputTokens + usage.outputTokens,
        request_id: response.headers["x-request-id"].startsWith("req_"),
      };
    },
    stream: async () => {
      const parts = await this.parts(this.call("fixed"));
      const texts = parts.filter((part) => part.type === "text-delta").map((part) => part.text);
      return { text: texts.join(""), finish: parts.at(-1).finishReason };
    },
    stream_with_usage: async () => {
      const { totalUsage } = (await this.parts(this.call("fixed"))).at(-1);
      // openai-compatible does not ask for it, and must not be given it.
      return { usage: (totalUsage.totalTokens ?? 0) > 0 === (this.kind !== "compatible") };
    },
    tools: async () => {
      const options = { messages: CALLS_TOOL, tools: this.tools() };
      const { finishReason, toolCalls } = await this.ai.generateText(this.call("gpt-4o", options));
      return { finish: finishReason, name: toolCalls[0].toolName, arguments: toolCalls[0].input };
    },
    tools_in_a_stream: async () => {
      const parts = await this.parts(this.call("gpt-4o", { messages: CALLS_TOOL, tools: this.tools() }));
      const call = parts.find((part) => part.type === "tool-call");
      return { name: call.toolName, arguments: call.input };
    },
    structured: async () => {
      const { Output, jsonSchema } = this.ai;
      const output = Output.object({ schema: jsonSchema(PERSON) });
      return (await this.ai.generateText(this.call("gpt-4o", { output }))).output;
    },
    vision: async () => {
      const content = [
        { type: "text", text: `What is this? ${this.tag}` },
        { type: "file", mediaType: "image/png", data: PIXEL },
      ];
      return (await this.ai.generateText(this.call("fixed", { messages: [{ role: "user", content }] }))).text;
    },
    embeddings: async () => {
      const model = this.provider.embeddingModel("embed");
      const { embeddings } = await this.ai.embedMany({ model, values: ["hello", "world"], maxRetries: 0 });
      return rounded(embeddings);
    },
    speech: async () => {
      if (this.kind === "compatible") return undefined;
      const model = this.provider.speech("tts");
      const { audio } = await this.ai.generateSpeech({ model, text: "Hello", voice: "alloy", maxRetries: 0 });
      return hex(audio.uint8Array);
    },
    reasoning: async () => (await this.ai.generateText(this.call("gpt-5-mini", { maxOutputTokens: 100 }))).text,
    withheld: async () => {
      const { finishReason, text } = await this.ai.generateText(this.call("gpt-4o", { messages: WITHHELD }));
      return { finish: finishReason, content: text || null };
    },
    filtered: () => this.fails("gpt-4o", { messages: FILTERED }),
    filtered_in_a_stream: () => this.streamFailure(this.call("gpt-4o", { messages: FILTERED })),
    wrong_key: () => {
      const model = this.chatModel("gpt-4o", this.make("wrong"));
      return this.failure(() => this.ai.generateText({ model, messages: MESSAGES, maxRetries: 0 }));
    },
    unknown_model: () => this.fails("nothing"),
    too_large: () => this.fails("gpt-4o", { messages: LARGE }),
    limited: () => this.fails("limited"),
    broken: () => this.fails(`broken-${this.tag}`),
    unreachable: () => this.fails("unreachable"),
    torn_stream: () => this.streamFailure(this.call(`torn-${this.tag}`), { message: true }),
    responses: async () => {
      if (this.kind === "compatible") return undefined;
      const options = { ...this.call("gpt-4o"), model: this.provider("gpt-4o") };
      return this.failure(() => this.ai.generateText(options), { message: true });
    },
    retry_after: () =>
      timed(async () => (await this.ai.generateText(this.call(`busy-${this.tag}`, { maxRetries: 1 }))).text),
    leaves_a_stream: async () => {
      const leaving = new AbortController();
      const { textStream } = this.ai.streamText(
        this.call(`stalled-${this.tag}`, { abortSignal: leaving.signal, onError: () => {} }),
      );
      for await (const _ of textStream) leaving.abort();
      return "left";
    },
    leaves_before_the_reply: () => {
      const abortSignal = AbortSignal.timeout(2000);
      return this.failure(() => this.ai.generateText(this.call(`silent-${this.tag}`, { abortSignal }))).then(
        (result) => result.class,
      );
    },
  };
}

async function clients() {
  if (family === "ai-sdk") {
    globalThis.AI_SDK_LOG_WARNINGS = false;
    const makers = {
      ...(await import("@ai-sdk/openai")),
      ...(await import("@ai-sdk/azure")),
      ...(await import("@ai-sdk/openai-compatible")),
    };
    const ai = await import("ai");
    return ["openai", "compatible", "azure", "azure-deployments"].map((kind) => new AiSdk(ai, makers, kind));
  }
  const module = await import(family);
  return ["OpenAI", "AzureOpenAI"].map((kind) => new OpenAIClient(module, kind));
}

const reports = [];
for (let place = 0; place < gateways.length; place += 2) {
  base = gateways[place];
  const only = gateways[place + 1] ? gateways[place + 1].split(",") : null;
  const all = {};
  for (const client of await clients()) {
    const results = (all[client.kind] = {});
    for (const [name, scenario] of Object.entries(client.scenarios)) {
      if (only && !only.includes(name)) continue;
      try {
        results[name] = await scenario();
      } catch (error) {
        results[name] = { raised: `${error.name}: ${error.message}`.slice(0, 500) };
      }
    }
  }
  reports.push(all);
}
// Connections that are kept alive would hold the process.
process.stdout.write(`${JSON.stringify(reports)}\n`, () => process.exit(0));
