import { LLMock } from "@copilotkit/aimock";
import type { Chunk, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import JSON5 from "json5";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import anthropic, { type AnthropicConfig } from "../../plugins/providers/anthropic/index.ts";
import { toParams } from "../../plugins/providers/anthropic/request.ts";

const manifest = JSON5.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../manifests/providers/anthropic.json5"), "utf8"),
);
const mock = new LLMock({ port: 0 });
const key = "sk-ant-test-000000000000000000";

beforeAll(() => mock.start());
afterAll(() => mock.stop());
beforeEach(() => void mock.reset());

async function provider(
  config: AnthropicConfig = {},
  options: { fetch?: typeof fetch; env?: Record<string, string>; secrets?: Record<string, string> } = {},
) {
  const bench = createTestContext<AnthropicConfig>({
    id: "anthropic",
    manifest,
    config: { baseUrl: mock.url, ...config },
    env: { ANTHROPIC_API_KEY: key },
    fetch,
    ...options,
  });
  await bench.activate(anthropic);
  const registered = bench.contributions.providers.get("anthropic");
  if (!registered) throw new Error("not registered");
  return registered;
}

const user = (text: string): Message => ({ role: "user", content: [{ type: "text", text }] });
const request = (fields: Partial<CompletionRequest> = {}): CompletionRequest => ({
  model: "claude-sonnet-5-5",
  system: "Be brief.",
  messages: [user("hello")],
  tools: [],
  ...fields,
});

async function collect(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const ask = async (fields?: Partial<CompletionRequest>, signal = new AbortController().signal) =>
  collect((await provider()).stream(request(fields), signal));
const textOf = (chunks: readonly Chunk[]): string =>
  chunks.map((chunk) => (chunk.type === "text" ? chunk.delta : "")).join("");

test("it is ready with a key from the environment, the configuration or a secret, and says what is missing", async () => {
  const signal = new AbortController().signal;
  const ready = async (config: AnthropicConfig, options = {}) =>
    (await provider(config, options)).ready(signal);
  expect(await ready({})).toEqual({
    ok: true,
    reason: "API key from ANTHROPIC_API_KEY",
    defaultModel: "claude-sonnet-5-5",
    rank: 10,
  });
  expect(await ready({}, { env: {} })).toMatchObject({
    ok: false,
    reason: expect.stringContaining("rclaw plugin add anthropic"),
  });
  expect(
    await ready({ apiKey: "secret:anthropic.default" }, { env: {}, secrets: { "anthropic.default": key } }),
  ).toMatchObject({ ok: true });
  expect(await ready({ apiKey: "secret:anthropic.default" }, { env: {} })).toMatchObject({
    ok: false,
    reason: expect.stringContaining("not stored"),
  });
});

test("text streams in pieces and ends with the usage, cache included", async () => {
  mock.onMessage(
    "hello",
    {
      content: "Hello from the mock.",
      usage: {
        input_tokens: 7,
        output_tokens: 5,
        cache_read_input_tokens: 3,
        cache_creation_input_tokens: 2,
      },
    },
    { chunkSize: 6 },
  );
  const chunks = await ask();
  expect(textOf(chunks)).toBe("Hello from the mock.");
  expect(chunks.length).toBeGreaterThan(3);
  expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "stop", usage: { input: 7, output: 5 } });
});

test("a tool call comes whole, and its result leads to the answer", async () => {
  mock.on(
    { userMessage: "weather", hasToolResult: false },
    { toolCalls: [{ id: "toolu_1", name: "weather", arguments: '{"city":"Vienna","days":2}' }] },
    { chunkSize: 3 },
  );
  mock.on({ hasToolResult: true }, { content: "Sunny." });
  const tools = [
    {
      name: "weather",
      description: "Weather.",
      params: { type: "object", properties: { city: { type: "string" } } },
    },
  ];
  const first = await ask({ messages: [user("weather?")], tools });
  expect(first).toEqual([
    { type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Vienna", days: 2 } },
    { type: "end", stopReason: "toolUse", usage: expect.any(Object) },
  ]);
  const [call] = first;
  if (call?.type !== "tool_use") throw new Error("no call");
  const messages: Message[] = [
    user("weather?"),
    { role: "assistant", content: [call] },
    { role: "user", content: [{ type: "tool_result", id: call.id, content: "22 degrees" }] },
  ];
  expect(textOf(await ask({ messages, tools }))).toBe("Sunny.");
});

test("thinking comes with its signature and is handed back unchanged", async () => {
  mock.onMessage("hello", { content: "Yes.", reasoning: "Let me see.", reasoningSignature: "c2ln" });
  const chunks = await ask({ thinking: "high" });
  const thinking = chunks.filter((chunk) => chunk.type === "thinking");
  expect(thinking.map(({ delta }) => delta).join("")).toBe("Let me see.");
  expect(thinking.at(-1)?.signature).toBe("c2ln");
  const { messages } = toParams(
    request({
      messages: [
        user("a"),
        {
          role: "assistant",
          content: [
            { type: "thinking", text: "Let me see.", signature: "c2ln" },
            { type: "text", text: "Yes." },
          ],
        },
        user("b"),
      ],
    }),
  );
  expect(messages[1]?.content).toEqual([
    { type: "thinking", thinking: "Let me see.", signature: "c2ln" },
    { type: "text", text: "Yes." },
  ]);
});

test("cache breakpoints stand after the tools, the system prompt and the last message", () => {
  const tools = ["a", "b"].map((name) => ({ name, description: name, params: { type: "object" } }));
  const params = toParams(request({ tools, cacheKey: "session-1" }));
  const cached = { cache_control: { type: "ephemeral" } };
  expect(params.tools?.map((tool) => "cache_control" in tool)).toEqual([false, true]);
  expect(params.system).toMatchObject([cached]);
  expect(params.messages.at(-1)?.content).toMatchObject([cached]);
  expect(params.metadata).toEqual({ user_id: "session-1" });
});

test("thinking is an effort for new models and a budget for old ones", () => {
  expect(toParams(request({ thinking: "medium" }))).toMatchObject({
    thinking: { type: "adaptive" },
    output_config: { effort: "medium" },
  });
  const old = toParams(request({ model: "claude-haiku-4-5", thinking: "low" }));
  expect(old).toMatchObject({
    thinking: { type: "enabled", budget_tokens: 2_048 },
    max_tokens: 8_192 + 2_048,
  });
  expect(toParams(request({ thinking: "off" }))).not.toHaveProperty("thinking");
});

test("what another provider left in the history does not break the request", () => {
  const { messages } = toParams(
    request({
      messages: [
        { role: "assistant", content: [{ type: "text", text: "a remainder" }] },
        user("go"),
        {
          role: "assistant",
          content: [
            { type: "thinking", text: "unsigned" },
            { type: "text", text: "  " },
            { type: "tool_use", id: "call|1", name: "x", input: undefined },
            { type: "tool_use", id: "call2", name: "", input: {} },
            { type: "tool_use", id: "call3", name: "a.b c", input: {} },
          ],
        },
        { role: "user", content: [{ type: "tool_result", id: "call|1", content: "ok" }] },
      ],
    }),
  );
  expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
  expect(messages[1]?.content).toEqual([
    { type: "tool_use", id: "call_1", name: "x", input: {} },
    { type: "tool_use", id: "call2", name: "unnamed", input: {} },
    { type: "tool_use", id: "call3", name: "a_b_c", input: {} },
  ]);
  expect(messages[2]?.content).toMatchObject([{ tool_use_id: "call_1" }]);
});

test.each([
  [
    429,
    { message: "slow down", type: "rate_limit_error" },
    { code: "RATE_LIMITED", retryable: true, details: { status: 429, retryAfterMs: 1_000 } },
  ],
  [
    529,
    { message: "Overloaded", type: "overloaded_error" },
    { code: "UNAVAILABLE", retryable: true, details: { status: 529 } },
  ],
  [500, { message: "oops", type: "api_error" }, { code: "UNAVAILABLE", retryable: true }],
  [
    401,
    { message: `bad key ${key}`, type: "authentication_error" },
    { code: "UNAUTHORIZED", retryable: false },
  ],
  [
    400,
    { message: `too long ${key}`, type: "invalid_request_error" },
    { code: "INVALID_REQUEST", retryable: false },
  ],
  [404, { message: "no such model", type: "not_found_error" }, { code: "INVALID_REQUEST", retryable: false }],
])("HTTP %i becomes an error of ours without the key in it", async (status, error, expected) => {
  mock.onMessage("hello", { error, status });
  const failure = await ask().then(
    () => undefined,
    (reason: Error) => reason,
  );
  expect(failure).toMatchObject(expected);
  expect(failure?.message).not.toContain(key);
  // Asking again is the agent's business.
  expect(mock.getRequests()).toHaveLength(1);
});

test("a stream that is cut has no end, however it is cut", async () => {
  mock.onMessage(
    "hello",
    { content: "A rather long answer that will not arrive." },
    { chunkSize: 4, truncateAfterChunks: 3 },
  );
  const seen: Chunk[] = [];
  const failure = await (async () => {
    for await (const chunk of (await provider()).stream(request(), new AbortController().signal))
      seen.push(chunk);
  })().then(
    () => undefined,
    (reason: Error) => reason,
  );
  expect(seen.some(({ type }) => type === "end")).toBe(false);
  if (failure) expect(failure).toMatchObject({ code: "UNAVAILABLE", retryable: true });
});

test("an abort ends the stream at once", async () => {
  mock.onMessage(
    "hello",
    { content: "word ".repeat(200) },
    { chunkSize: 5, streamingProfile: { ttft: 1, tps: 20 } },
  );
  const controller = new AbortController();
  const run = (async () => {
    for await (const chunk of (await provider()).stream(request(), controller.signal))
      if (chunk.type === "text") controller.abort();
  })();
  await expect(run).rejects.toMatchObject({ code: "ABORTED" });
});

const event = (data: { type: string } & Record<string, unknown>): string =>
  `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const wire = [
  event({
    type: "message_start",
    message: {
      id: "m",
      type: "message",
      role: "assistant",
      model: "c",
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: {
        input_tokens: 4,
        output_tokens: 0,
        cache_read_input_tokens: 9,
        cache_creation_input_tokens: 1,
      },
    },
  }),
  event({ type: "ping" }),
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
  event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Grüß Gött 👋 " } }),
  event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "日本\n" } }),
  event({ type: "content_block_stop", index: 0 }),
  event({
    type: "content_block_start",
    index: 1,
    content_block: { type: "tool_use", id: "t", name: "say", input: {} },
  }),
  event({ type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: '{"wo' } }),
  event({
    type: "content_block_delta",
    index: 1,
    delta: { type: "input_json_delta", partial_json: 'rd":"né"}' },
  }),
  event({ type: "content_block_stop", index: 1 }),
  event({
    type: "message_delta",
    delta: { stop_reason: "tool_use", stop_sequence: null },
    usage: { output_tokens: 6 },
  }),
  event({ type: "message_stop" }),
].join("");
const expected = [
  { type: "tool_use", id: "t", name: "say", input: { word: "né" } },
  { type: "end", stopReason: "toolUse", usage: { input: 4, output: 6, cacheRead: 9, cacheWrite: 1 } },
];

/** A server whose answer arrives in these pieces. */
function pieces(body: string | Uint8Array, cuts: readonly number[]): typeof fetch {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const at = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return async () => {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const [index, from] of at.slice(0, -1).entries())
          controller.enqueue(bytes.slice(from, at[index + 1]));
        controller.close();
      },
    });
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  };
}

test("wherever the network splits the stream, the result is the same", async () => {
  const length = new TextEncoder().encode(wire).length;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: length }), { maxLength: 40 }), async (cuts) => {
      const chunks = await collect(
        (await provider({}, { fetch: pieces(wire, cuts) })).stream(request(), new AbortController().signal),
      );
      expect(textOf(chunks)).toBe("Grüß Gött 👋 日本\n");
      expect(chunks.filter(({ type }) => type !== "text")).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

test("a stream that stops after any byte has no end and never invents a call", async () => {
  const bytes = new TextEncoder().encode(wire);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: bytes.length - 3 }), async (length) => {
      const seen: Chunk[] = [];
      const stream = (await provider({}, { fetch: pieces(bytes.slice(0, length), []) })).stream(
        request(),
        new AbortController().signal,
      );
      const failure = await (async () => {
        for await (const chunk of stream) seen.push(chunk);
      })().then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(seen.filter(({ type }) => type === "end")).toEqual([]);
      expect(expected).toEqual(expect.arrayContaining(seen.filter(({ type }) => type === "tool_use")));
      if (failure) expect(failure).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    }),
    { numRuns: 60 },
  );
});

test.each([
  [
    "an error inside the stream",
    event({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } }),
    { code: "UNAVAILABLE", retryable: true },
  ],
  [
    "a limit inside the stream",
    event({ type: "error", error: { type: "rate_limit_error", message: "Slow" } }),
    { code: "RATE_LIMITED" },
  ],
  [
    "something that is not JSON",
    "event: message_start\ndata: {nonsense\n\n",
    { code: "UNAVAILABLE", retryable: true },
  ],
])("%s is a typed error", async (_what, body, expectedError) => {
  const stream = (await provider({}, { fetch: pieces(body, []) })).stream(
    request(),
    new AbortController().signal,
  );
  await expect(collect(stream)).rejects.toMatchObject(expectedError);
});

test("arguments that are not JSON stay text, which the agent can tell the model", async () => {
  const body = wire.replace('rd\\":\\"né\\"}', "rd");
  const stream = (await provider({}, { fetch: pieces(body, []) })).stream(
    request(),
    new AbortController().signal,
  );
  expect(await collect(stream)).toContainEqual(
    expect.objectContaining({ type: "tool_use", name: "say", input: '{"word' }),
  );
});

test("a server that is not there is an error that says so", async () => {
  const nowhere = await provider({ baseUrl: "http://127.0.0.1:9" });
  await expect(collect(nowhere.stream(request(), new AbortController().signal))).rejects.toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    message: expect.stringContaining("could not be reached"),
  });
});

test("configured models come first and keep what is known of them", async () => {
  const models = await (
    await provider({
      models: [
        { id: "claude-opus-5-5", contextWindow: 1_000_000 },
        { id: "my-model", name: "Mine" },
      ],
    })
  ).models(new AbortController().signal);
  expect(models[0]).toEqual({
    id: "claude-opus-5-5",
    name: "Claude Opus 5.5",
    contextWindow: 1_000_000,
    reasoning: true,
    input: ["text", "image"],
  });
  expect(models[1]).toEqual({ id: "my-model", name: "Mine" });
  expect(models.filter(({ id }) => id === "claude-opus-5-5")).toHaveLength(1);
});
