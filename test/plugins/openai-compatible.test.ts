import { LLMock } from "@copilotkit/aimock";
import type { Chunk, CompletionRequest, Message, Provider } from "@rclaw/plugin-sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ServerConfig } from "../../plugins/providers/openai-compatible/server.ts";
import { serve } from "./egress-setup.ts";
import { cages, type Cage, shipped } from "./lanes/shipped.ts";

const mock = new LLMock({ port: 0, journalMaxEntries: 0 });
const key = "sk-CANARY-0123456789abcdef";
const never = new AbortController().signal;
beforeAll(() => mock.start());
afterAll(() => mock.stop());
beforeEach(() => void mock.reset());

const user = (text: string): Message => ({ role: "user", content: [{ type: "text", text }] });
const request = (fields: Partial<CompletionRequest> = {}): CompletionRequest => ({
  model: "small",
  system: "Be brief.",
  messages: [user("hello")],
  tools: [],
  ...fields,
});
const textOf = (chunks: readonly Chunk[]): string =>
  chunks.map((chunk) => (chunk.type === "text" ? chunk.delta : "")).join("");
async function collect(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function provider(cage: Cage, config: ServerConfig = {}): Promise<Provider> {
  const rclaw = await shipped<ServerConfig>(cage, "providers/openai-compatible", {
    config: {
      baseUrl: `${mock.url}/v1`,
      apiKey: "secret:openai-compatible.apiKey",
      models: [{ id: "small", maxTokens: 500, input: ["text", "image"] }],
      ...config,
    },
    secrets: { "openai-compatible.apiKey": key },
  });
  const found = rclaw.contributions.providers.get("openai-compatible");
  if (!found) throw new Error("not registered");
  return found;
}

/** A server whose answer is these bytes, in these pieces. */
async function wire(pieces: readonly string[], type = "text/event-stream"): Promise<string> {
  const { url } = await serve((_request, response) => {
    response.writeHead(200, { "content-type": type });
    for (const piece of pieces) response.write(piece);
    response.end();
  });
  return `${url}/v1`;
}
const line = (choice: object, more: object = {}): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, ...choice }], ...more })}\n\n`;

describe.each(cages)("%s", (cage) => {
  test("it is ready once it knows a server and a model, and says what is missing otherwise", async () => {
    expect(await (await provider(cage)).ready(never)).toMatchObject({ ok: true, defaultModel: "small" });
    const bare = await provider(cage, { models: [] });
    expect(await bare.ready(never)).toMatchObject({
      ok: false,
      reason: expect.stringContaining("defaultModel") as string,
    });
    expect((await bare.models(never)).length).toBeGreaterThan(0);
  });

  test("text streams in pieces and ends with the usage; the server gets the key itself", async () => {
    mock.onMessage(
      "hello",
      {
        content: "Grüß Gott from 日本 👋.",
        reasoning: "Let me see.",
        usage: { prompt_tokens: 9, completion_tokens: 4 },
      },
      { chunkSize: 4 },
    );
    const chunks = await collect((await provider(cage)).stream(request(), never));
    expect(textOf(chunks)).toBe("Grüß Gott from 日本 👋.");
    expect(chunks.filter(({ type }) => type === "text").length).toBeGreaterThan(3);
    expect(chunks.flatMap((chunk) => (chunk.type === "thinking" ? [chunk.delta] : [])).join("")).toBe(
      "Let me see.",
    );
    expect(chunks.at(-1)).toEqual({
      type: "end",
      stopReason: "stop",
      usage: { input: 9, output: 4, cacheRead: 0, cacheWrite: 0 },
    });
    expect(mock.getLastRequest()?.body).toMatchObject({ model: "small", max_tokens: 500 });
  });

  test("the key goes to the server as a bearer", async () => {
    const seen: (string | undefined)[] = [];
    const { url } = await serve(({ headers }, response) => {
      seen.push(headers.authorization);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(line({ delta: { content: "ok" }, finish_reason: "stop" }));
    });
    await collect((await provider(cage, { baseUrl: `${url}/v1` })).stream(request(), never));
    expect(seen).toEqual([`Bearer ${key}`]);
  });

  test("tool calls come whole, images go along, and results lead to the answer", async () => {
    const calls = [
      { id: "call_1", name: "weather", arguments: '{"city":"Vienna"}' },
      { id: "call_2", name: "clock", arguments: "{}" },
    ];
    mock.on({ userMessage: "weather", hasToolResult: false }, { toolCalls: calls }, { chunkSize: 3 });
    mock.on({ hasToolResult: true }, { content: "Sunny." });
    const asked = await provider(cage);
    const tools = calls.map(({ name }) => ({ name, description: name, params: { type: "object" } }));
    const picture = { type: "image", mimeType: "image/png", data: "aGk=" } as const;
    const first: Message = { role: "user", content: [{ type: "text", text: "weather" }, picture] };
    const chunks = await collect(asked.stream(request({ messages: [first], tools }), never));
    const uses = chunks.filter((chunk) => chunk.type === "tool_use");
    expect(uses).toEqual([
      { type: "tool_use", id: "call_1", name: "weather", input: { city: "Vienna" } },
      { type: "tool_use", id: "call_2", name: "clock", input: {} },
    ]);
    expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "toolUse" });
    const results: Message = {
      role: "user",
      content: uses.map(({ id }) => ({ type: "tool_result", id, content: "25 degrees" })),
    };
    const messages = [first, { role: "assistant", content: uses } as Message, results];
    expect(textOf(await collect(asked.stream(request({ messages, tools }), never)))).toBe("Sunny.");
    const sent = mock.getLastRequest()?.body as { messages: { role: string; content: unknown }[] };
    expect(sent.messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "tool", "tool"]);
    expect(sent.messages[1]?.content).toContainEqual({
      type: "image_url",
      image_url: { url: "data:image/png;base64,aGk=" },
    });
  });

  test.each([
    [429, { retryAfter: 7 }, { code: "RATE_LIMITED", retryable: true, details: { retryAfterMs: 7_000 } }],
    [401, {}, { code: "UNAUTHORIZED", retryable: false }],
    [503, {}, { code: "UNAVAILABLE", retryable: true, details: { status: 503 } }],
    [400, {}, { code: "INVALID_REQUEST", retryable: false }],
  ])("HTTP %i becomes an error of ours without the key in it", async (status, more, expected) => {
    mock.onMessage("hello", { error: { message: `no: ${key}`, type: "server_error" }, status, ...more });
    const failure = await collect((await provider(cage)).stream(request(), never)).then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(failure).toMatchObject(expected);
    expect(failure?.message).not.toContain(key);
  });

  test("a stream that is cut has no end", async () => {
    mock.onMessage(
      "hello",
      { content: "A long answer that will not arrive." },
      { chunkSize: 4, truncateAfterChunks: 4 },
    );
    const seen: Chunk[] = [];
    const failure = await (async () => {
      for await (const chunk of (await provider(cage)).stream(request(), never)) seen.push(chunk);
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
      for await (const chunk of (await provider(cage)).stream(request(), controller.signal))
        if (chunk.type === "text") controller.abort();
    })();
    await expect(run).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("events are understood however their lines end and wherever they are cut", async () => {
    const whole = `: a comment\r\n\r\n${line({ delta: { content: "né" } })}`.replaceAll(/(?<!\r)\n/g, "\r\n");
    const text = `${whole}event: x\ndata: ${JSON.stringify({ choices: [{ delta: { content: "!" }, finish_reason: "length" }] })}`;
    const baseUrl = await wire(Array.from(text));
    const chunks = await collect((await provider(cage, { baseUrl })).stream(request(), never));
    expect(textOf(chunks)).toBe("né!");
    expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "length" });
  });

  test.each([
    ["a page", "text/html", "<html>", { code: "INVALID_REQUEST" }],
    ["nonsense", "text/event-stream", "data: {no\n\n", { code: "UNAVAILABLE", retryable: true }],
    [
      "an error inside the stream",
      "text/event-stream",
      `data: {"error":{"message":"slow down","code":"rate_limit_exceeded"}}\n\n`,
      { code: "RATE_LIMITED", retryable: true },
    ],
  ])("%s is an error that says so", async (_what, type, body, expected) => {
    const asked = await provider(cage, { baseUrl: await wire([body], type) });
    await expect(collect(asked.stream(request(), never))).rejects.toMatchObject(expected);
  });

  test("a server that does not stream is understood as well", async () => {
    const answer = { choices: [{ message: { content: "all at once" }, finish_reason: "stop" }] };
    const baseUrl = await wire([JSON.stringify(answer)], "application/json");
    expect(textOf(await collect((await provider(cage, { baseUrl })).stream(request(), never)))).toBe(
      "all at once",
    );
  });
});
