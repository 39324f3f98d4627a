import { readFileSync } from "node:fs";
import path from "node:path";
import { LLMock } from "@copilotkit/aimock";
import type { Chunk, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import * as fc from "fast-check";
import JSON5 from "json5";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import openai, { type OpenAiConfig } from "../../plugins/providers/openai/index.ts";

const manifest = JSON5.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../manifests/providers/openai.json5"), "utf8"),
);
const mock = new LLMock({ port: 0 });
const key = "sk-proj-test-000000000000000000";
const signal = new AbortController().signal;

beforeAll(() => mock.start());
afterAll(() => mock.stop());
beforeEach(() => void mock.reset());

async function provider(
  config: OpenAiConfig = {},
  options: { fetch?: typeof fetch; env?: Record<string, string> } = {},
) {
  const bench = createTestContext<OpenAiConfig>({
    id: "openai",
    manifest,
    config: { baseUrl: `${mock.url}/v1`, ...config },
    env: { OPENAI_API_KEY: key },
    fetch,
    ...options,
  });
  await bench.activate(openai);
  const registered = bench.contributions.providers.get("openai");
  if (!registered) throw new Error("not registered");
  return registered;
}

const user = (text: string): Message => ({ role: "user", content: [{ type: "text", text }] });
const request = (fields: Partial<CompletionRequest> = {}): CompletionRequest => ({
  model: "gpt-5.4",
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
const textOf = (chunks: readonly Chunk[]): string =>
  chunks.map((chunk) => (chunk.type === "text" ? chunk.delta : "")).join("");
const lastBody = (): Record<string, unknown> =>
  mock.getLastRequest()?.body as unknown as Record<string, unknown>;

test("it is ready with a key, and says what is missing without one", async () => {
  expect(await (await provider()).ready(signal)).toEqual({
    ok: true,
    reason: "API key from OPENAI_API_KEY",
    defaultModel: "gpt-5.4",
    rank: 20,
  });
  expect(await (await provider({}, { env: {} })).ready(signal)).toMatchObject({
    ok: false,
    reason: expect.stringContaining("rclaw plugin add openai"),
  });
});

test("the API is responses at OpenAI and completions elsewhere, unless the configuration says otherwise", async () => {
  const asked: string[] = [];
  const spy: typeof fetch = async (input) => {
    asked.push(new URL(String(input instanceof Request ? input.url : input)).pathname);
    return new Response("{}", { status: 400, headers: { "content-type": "application/json" } });
  };
  const official = { baseUrl: "https://api.openai.com/v1" };
  for (const config of [
    official,
    {},
    { api: "openai-responses" } as const,
    { ...official, api: "openai-completions" } as const,
  ]) {
    await expect(
      collect((await provider(config, { fetch: spy })).stream(request(), signal)),
    ).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  }
  expect(asked).toEqual(["/v1/responses", "/v1/chat/completions", "/v1/responses", "/v1/chat/completions"]);
});

describe.each(["openai-completions", "openai-responses"] as const)("%s", (api) => {
  const ask = async (fields?: Partial<CompletionRequest>, own = signal) =>
    collect((await provider({ api })).stream(request(fields), own));

  test("text streams in pieces and ends with the usage", async () => {
    const usage =
      api === "openai-completions"
        ? { prompt_tokens: 9, completion_tokens: 4 }
        : { input_tokens: 9, output_tokens: 4 };
    mock.onMessage("hello", { content: "Hello from the mock.", usage }, { chunkSize: 6 });
    const chunks = await ask();
    expect(textOf(chunks)).toBe("Hello from the mock.");
    expect(chunks.length).toBeGreaterThan(3);
    expect(chunks.at(-1)).toEqual({
      type: "end",
      stopReason: "stop",
      usage: { input: 9, output: 4, cacheRead: 0, cacheWrite: 0 },
    });
  });

  test("tool calls come whole, and their results lead to the answer", async () => {
    const calls = [
      { id: "call_1", name: "weather", arguments: '{"city":"Vienna"}' },
      { id: "call_2", name: "clock", arguments: "{}" },
    ];
    mock.on({ userMessage: "weather", hasToolResult: false }, { toolCalls: calls }, { chunkSize: 3 });
    mock.on({ hasToolResult: true }, { content: "Sunny." });
    const tools = calls.map(({ name }) => ({
      name,
      description: name,
      params: { type: "object", properties: {} },
    }));
    const first = await ask({ messages: [user("weather?")], tools });
    // A reasoning model's calls follow its reasoning, which must be handed back with them.
    expect(first.filter(({ type }) => type !== "thinking")).toEqual([
      { type: "tool_use", id: "call_1", name: "weather", input: { city: "Vienna" } },
      { type: "tool_use", id: "call_2", name: "clock", input: {} },
      { type: "end", stopReason: "toolUse", usage: expect.any(Object) },
    ]);
    const blocks = first.filter((chunk) => chunk.type === "tool_use");
    const thinking = first.flatMap((chunk) =>
      chunk.type === "thinking"
        ? [
            {
              type: "thinking",
              text: chunk.delta,
              ...(chunk.signature && { signature: chunk.signature }),
            } as const,
          ]
        : [],
    );
    const results = blocks.map(({ id }) => ({ type: "tool_result", id, content: "22" }) as const);
    const messages: Message[] = [
      user("weather?"),
      { role: "assistant", content: [...thinking, ...blocks] },
      { role: "user", content: results },
    ];
    expect(textOf(await ask({ messages, tools }))).toBe("Sunny.");
  });

  test("reasoning is thinking, not text", async () => {
    mock.onMessage("hello", { content: "Yes.", reasoning: "Let me see." });
    const chunks = await ask({ thinking: "high" });
    expect(textOf(chunks)).toBe("Yes.");
    expect(chunks.map((chunk) => (chunk.type === "thinking" ? chunk.delta : "")).join("")).toBe(
      "Let me see.",
    );
  });

  test.each([
    [
      429,
      { message: "slow down", type: "rate_limit_error", code: "rate_limit_exceeded" },
      { code: "RATE_LIMITED", retryable: true, details: { retryAfterMs: 1_000 } },
    ],
    [
      429,
      { message: "pay", type: "insufficient_quota", code: "insufficient_quota" },
      { code: "UNAUTHORIZED", retryable: false },
    ],
    [
      529,
      { message: "Overloaded", type: "server_error" },
      { code: "UNAVAILABLE", retryable: true, details: { status: 529 } },
    ],
    [500, { message: "oops", type: "server_error" }, { code: "UNAVAILABLE", retryable: true }],
    [
      401,
      { message: `Incorrect API key provided: ${key}`, type: "invalid_request_error" },
      { code: "UNAUTHORIZED", retryable: false },
    ],
    [
      400,
      { message: `bad ${key}`, type: "invalid_request_error" },
      { code: "INVALID_REQUEST", retryable: false },
    ],
  ])("HTTP %i becomes an error of ours without the key in it", async (status, error, expected) => {
    mock.onMessage("hello", { error, status });
    const failure = await ask().then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(failure).toMatchObject(expected);
    expect(failure?.message).not.toContain(key);
    expect(mock.getRequests()).toHaveLength(1);
  });

  test("a stream that is cut has no end", async () => {
    mock.onMessage(
      "hello",
      { content: "A rather long answer that will not arrive." },
      { chunkSize: 4, truncateAfterChunks: 4 },
    );
    const seen: Chunk[] = [];
    const failure = await (async () => {
      for await (const chunk of (await provider({ api })).stream(request(), signal)) seen.push(chunk);
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
      for await (const chunk of (await provider({ api })).stream(request(), controller.signal))
        if (chunk.type === "text") controller.abort();
    })();
    await expect(run).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("wherever the network splits the stream, the result is the same, and cut short it has no end", async () => {
    const bytes = new TextEncoder().encode(wires[api]);
    const read = async (body: Uint8Array, cuts: readonly number[]) => {
      const seen: Chunk[] = [];
      const stream = (await provider({ api }, { fetch: pieces(body, cuts) })).stream(request(), signal);
      const failure = await (async () => {
        for await (const chunk of stream) seen.push(chunk);
      })().then(
        () => undefined,
        (reason: Error) => reason,
      );
      return { seen, failure };
    };
    const call = { type: "tool_use", id: "c1", name: "say", input: { word: "né" } };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 40 }),
        async (cuts) => {
          const { seen, failure } = await read(bytes, cuts);
          expect(failure).toBeUndefined();
          expect(textOf(seen)).toBe("Grüß 👋 日本");
          expect(seen.filter(({ type }) => type !== "text")).toEqual([
            call,
            {
              type: "end",
              stopReason: "toolUse",
              usage: { input: 4, output: 6, cacheRead: 5, cacheWrite: 0 },
            },
          ]);
        },
      ),
      { numRuns: 40 },
    );
    const closing = wires[api].lastIndexOf(
      api === "openai-completions" ? '"finish_reason"' : '"response.completed"',
    );
    const limit = new TextEncoder().encode(wires[api].slice(0, closing)).length;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: limit }), async (length) => {
        const { seen, failure } = await read(bytes.slice(0, length), []);
        expect(seen.filter(({ type }) => type === "end")).toEqual([]);
        if (failure) expect(failure).toMatchObject({ code: "UNAVAILABLE", retryable: true });
      }),
      { numRuns: 40 },
    );
  });
});

const line = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const event = (data: { type: string } & Record<string, unknown>): string =>
  `event: ${data.type}\n${line(data)}`;
const delta = (fields: object, finish_reason: string | null = null) =>
  line({ id: "x", object: "chat.completion.chunk", choices: [{ index: 0, delta: fields, finish_reason }] });
const item = {
  type: "function_call",
  id: "fc_1",
  call_id: "c1",
  name: "say",
  arguments: '{"word":"né"}',
  status: "completed",
};
const wires = {
  "openai-completions": [
    ": a comment that keeps the line open\n\n",
    delta({ role: "assistant", content: "" }),
    delta({ content: "Grüß 👋 " }),
    delta({ content: "日本" }),
    delta({
      tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "say", arguments: "" } }],
    }),
    delta({ tool_calls: [{ index: 0, function: { arguments: '{"word":' } }] }),
    delta({ tool_calls: [{ index: 0, function: { arguments: '"né"}' } }] }),
    line({
      id: "x",
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }],
    }),
    line({
      id: "x",
      object: "chat.completion.chunk",
      choices: [],
      usage: {
        prompt_tokens: 9,
        completion_tokens: 6,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 5 },
      },
    }),
    "data: [DONE]\n\n",
  ]
    .join("")
    // Only the last chunk names a finish reason, so a cut before it is easy to find.
    .replaceAll(',"finish_reason":null', ""),
  "openai-responses": [
    event({ type: "response.created", response: { id: "r" } }),
    event({ type: "response.output_text.delta", delta: "Grüß 👋 " }),
    event({ type: "response.output_text.delta", delta: "日本" }),
    event({ type: "response.function_call_arguments.delta", delta: '{"word":' }),
    event({ type: "response.output_item.done", item }),
    event({
      type: "response.completed",
      response: {
        id: "r",
        usage: { input_tokens: 9, output_tokens: 6, input_tokens_details: { cached_tokens: 5 } },
      },
    }),
  ].join(""),
};

/** A server whose answer arrives in these pieces. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): typeof fetch {
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

test.each([
  [
    "openai-responses",
    event({ type: "response.failed", response: { error: { code: "server_error", message: "broken" } } }),
    { code: "UNAVAILABLE", retryable: true },
  ],
  [
    "openai-responses",
    event({ type: "response.incomplete", response: { incomplete_details: { reason: "max_output_tokens" } } }),
    "length",
  ],
  ["openai-responses", "event: error\ndata: {nonsense\n\n", { code: "UNAVAILABLE", retryable: true }],
  [
    "openai-completions",
    line({ error: { message: "Rate limit", code: "rate_limit_exceeded" } }),
    { code: "RATE_LIMITED" },
  ],
  ["openai-completions", delta({ content: "x" }, "length"), "length"],
  ["openai-completions", delta({ refusal: "no" }, "content_filter"), "refusal"],
  ["openai-completions", "data: {nonsense\n\n", { code: "UNAVAILABLE", retryable: true }],
] as const)("over %s an unusual stream is understood: %j", async (api, body, expected) => {
  const stream = (await provider({ api }, { fetch: pieces(new TextEncoder().encode(body), []) })).stream(
    request(),
    signal,
  );
  if (typeof expected === "string")
    expect((await collect(stream)).at(-1)).toMatchObject({ type: "end", stopReason: expected });
  else await expect(collect(stream)).rejects.toMatchObject(expected);
});

test.each([
  ["openai-responses", event({ type: "response.output_item.done", item: { ...item, arguments: "{" } })],
  [
    "openai-completions",
    delta({ tool_calls: [{ index: 0, id: "c", function: { name: "say", arguments: "{" } }] }, "tool_calls"),
  ],
] as const)(
  "over %s arguments that are not JSON stay text, which the agent can tell the model",
  async (api, body) => {
    const stream = (await provider({ api }, { fetch: pieces(new TextEncoder().encode(body), []) })).stream(
      request(),
      signal,
    );
    const seen: Chunk[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of stream) seen.push(chunk);
    };
    // One of the two also lacks its end, which is an error of its own.
    await read().catch(() => undefined);
    expect(seen).toContainEqual(expect.objectContaining({ type: "tool_use", name: "say", input: "{" }));
  },
);

test("encrypted reasoning is handed back with the next request, and nothing is stored at OpenAI", async () => {
  const body = [
    event({
      type: "response.output_item.done",
      item: { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "c2VjcmV0" },
    }),
    event({ type: "response.output_item.done", item }),
    event({ type: "response.completed", response: { id: "r", usage: null } }),
  ].join("");
  const openaiProvider = await provider(
    { api: "openai-responses" },
    { fetch: pieces(new TextEncoder().encode(body), []) },
  );
  const [thinking, call] = await collect(openaiProvider.stream(request(), signal));
  if (thinking?.type !== "thinking" || call?.type !== "tool_use") throw new Error("unexpected");
  mock.onMessage("hello", { content: "ok" });
  const messages: Message[] = [
    user("hello"),
    {
      role: "assistant",
      content: [
        { type: "thinking", text: "", ...(thinking.signature && { signature: thinking.signature }) },
        call,
      ],
    },
    { role: "user", content: [{ type: "tool_result", id: "c1", content: "done" }] },
    user("hello"),
  ];
  let sent: Record<string, unknown> = {};
  const spy: typeof fetch = (input, init) => {
    sent = JSON.parse(init?.body as string) as Record<string, unknown>;
    return fetch(input, init);
  };
  await collect(
    (await provider({ api: "openai-responses" }, { fetch: spy })).stream(
      request({ messages, thinking: "low" }),
      signal,
    ),
  );
  expect(sent).toMatchObject({
    store: false,
    include: ["reasoning.encrypted_content"],
    reasoning: { effort: "low" },
    instructions: "Be brief.",
  });
  expect((sent["input"] as { type?: string }[]).map(({ type }) => type)).toEqual([
    undefined,
    "reasoning",
    "function_call",
    "function_call_output",
    undefined,
  ]);
});

test("a compatible server gets no field that only OpenAI knows", async () => {
  mock.onMessage("hello", { content: "ok" });
  const compatible = await provider({ models: [{ id: "local-model", maxTokens: 100 }] });
  await collect(
    compatible.stream(request({ model: "local-model", cacheKey: "s", thinking: "high" }), signal),
  );
  expect(lastBody()).toMatchObject({ model: "local-model", max_tokens: 100 });
  for (const field of ["prompt_cache_key", "reasoning_effort", "max_completion_tokens", "store"])
    expect(lastBody()).not.toHaveProperty(field);
  expect(await compatible.models(signal)).toEqual([{ id: "local-model", name: "local-model" }]);
});
