import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { LLMock } from "@copilotkit/aimock";
import type { Chunk } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import ollama from "../../plugins/providers/ollama/index.ts";
import type { ServersConfig } from "../../plugins/providers/ollama/server.ts";

const signal = new AbortController().signal;

async function providerOf(id: string, config: ServersConfig) {
  const bench = createTestContext<ServersConfig>({ id: "ollama", config, fetch });
  await bench.activate(ollama);
  const registered = bench.contributions.providers.get(id);
  if (!registered) throw new Error("not registered");
  return registered;
}

const ollamaAt = (baseUrl: string) => providerOf("ollama", { ollama: { baseUrl } });

async function server(answer: (url: string) => unknown) {
  const http = createServer((incoming, response) => {
    const body = answer(incoming.url ?? "");
    if (body === undefined) return;
    response.setHeader("content-type", "application/json").end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

async function streaming(status: number, body: string, type = "text/event-stream") {
  const http = createServer((_incoming, response) => {
    response.writeHead(status, { "content-type": status === 200 ? type : "application/json" });
    response.end(body);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

test("it is ready when it answers, with the first model that can talk", async () => {
  await using http = await server((url) =>
    url === "/v1/models"
      ? { data: [{ id: "nomic-embed-text" }, { id: "llama3.2:3b" }, { id: "qwen3" }] }
      : { error: url },
  );
  const provider = await ollamaAt(http.url);
  expect(await provider.ready(signal)).toEqual({
    ok: true,
    reason: `ollama at ${http.url}/v1`,
    defaultModel: "llama3.2:3b",
    rank: 30,
  });
  expect((await provider.models(signal)).map(({ id }) => id)).toEqual(["llama3.2:3b", "qwen3"]);
});

test("it is not ready when it has no model, is not there, or takes too long, and says what to do", async () => {
  await using empty = await server(() => ({ data: [] }));
  await using hanging = await server(() => undefined);
  const reason = async (baseUrl: string) => (await (await ollamaAt(baseUrl)).ready(signal)).reason;
  expect(await reason(empty.url)).toContain("ollama pull");
  expect(await reason("http://127.0.0.1:9")).toContain("ollama serve");
  const before = performance.now();
  expect(await reason(hanging.url)).toContain("ollama serve");
  expect(performance.now() - before).toBeLessThan(2_000);
});

test("it talks over the OpenAI-compatible API, whether the address ends in /v1 or not", async () => {
  const mock = new LLMock({ port: 0 });
  await mock.start();
  try {
    mock.onMessage("hello", { content: "Hello from llama." });
    for (const baseUrl of [mock.url, `${mock.url}/v1/`]) {
      const provider = await ollamaAt(baseUrl);
      const messages = [{ role: "user", content: [{ type: "text", text: "hello" }] }] as const;
      let text = "";
      for await (const chunk of provider.stream(
        { model: "llama3.2", system: "", messages, tools: [] },
        signal,
      )) {
        if (chunk.type === "text") text += chunk.delta;
      }
      expect(text).toBe("Hello from llama.");
      expect(mock.getLastRequest()?.path).toBe("/v1/chat/completions");
    }
  } finally {
    await mock.stop();
  }
});

const hello = {
  system: "be brief",
  messages: [{ role: "user", content: [{ type: "text", text: "hello" }] }],
  tools: [{ name: "say", description: "Says it.", params: { type: "object" } }],
} as const;

async function said(stream: AsyncIterable<Chunk>): Promise<readonly Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test("any other server of models.providers is reached by its name, and the key goes along", async () => {
  const mock = new LLMock({ port: 0 });
  await mock.start();
  try {
    mock.onMessage("hello", { content: "Hello from the rack." });
    const provider = await providerOf("compatible", {
      rack: { baseUrl: `${mock.url}/v1`, apiKey: "k-1", models: [{ id: "big" }] },
    });
    expect(await provider.ready(signal)).toMatchObject({ ok: true, defaultModel: "rack/big" });
    const chunks = await said(provider.stream({ ...hello, model: "rack/big" }, signal));
    expect(chunks.flatMap((chunk) => (chunk.type === "text" ? [chunk.delta] : [])).join("")).toBe(
      "Hello from the rack.",
    );
    expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "stop" });
    expect(mock.getLastRequest()?.body).toMatchObject({ model: "big", stream: true });
    await expect(said(provider.stream({ ...hello, model: "nowhere/big" }, signal))).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message: expect.stringContaining("models.providers.nowhere.baseUrl"),
    });
  } finally {
    await mock.stop();
  }
});

test("it calls tools", async () => {
  const mock = new LLMock({ port: 0 });
  await mock.start();
  try {
    mock.onMessage("hello", { toolCalls: [{ id: "c1", name: "say", arguments: '{"word":"hi"}' }] });
    const chunks = await said((await ollamaAt(mock.url)).stream({ ...hello, model: "llama3.2" }, signal));
    expect(chunks).toContainEqual({ type: "tool_use", id: "c1", name: "say", input: { word: "hi" } });
    expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "toolUse" });
  } finally {
    await mock.stop();
  }
});

test("an answer that is cut has no end", async () => {
  const events = 'data: {"choices":[{"delta":{"content":"half"}}]}\n\n';
  await using http = await streaming(200, events);
  const chunks = await said((await ollamaAt(http.url)).stream({ ...hello, model: "m" }, signal));
  expect(chunks).toEqual([{ type: "text", delta: "half" }]);
});

test.each([
  [404, '{"error":"model \\"m\\" not found"}', "INVALID_REQUEST", /does not know it \(404\).*check the name/],
  [
    400,
    '{"error":{"message":"prompt is too long"}}',
    "INVALID_REQUEST",
    /cannot read a conversation this long/,
  ],
  [401, "", "UNAUTHORIZED", /refused the API key \(401\); check models\.providers\.ollama\.apiKey/],
  [429, "", "RATE_LIMITED", /limiting requests/],
  [503, '{"error":"overloaded"}', "UNAVAILABLE", /^ollama is overloaded \(503\); try again/],
  [400, '{"error":"bad thing"}', "INVALID_REQUEST", /\(400\): bad thing; if it stays like that, .*\/new$/],
])("%i becomes one sentence that says what to do", async (status, body, code, message) => {
  await using http = await streaming(status, body);
  const answer = said((await ollamaAt(http.url)).stream({ ...hello, model: "m" }, signal));
  await expect(answer).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
});

test.each([
  ["text/html", "<h1>Log in</h1>", /answered with text\/html instead of a stream; check .*baseUrl/],
  ["application/json", '{"error":{"message":"no GPU left"}}', /ollama failed \(500\): no GPU left/],
  ["application/json", '{"hello":"world"}', /answered with application\/json instead of a stream/],
])("%s that is no answer is told as what it is", async (type, body, message) => {
  await using http = await streaming(200, body, type);
  const answer = said((await ollamaAt(http.url)).stream({ ...hello, model: "m" }, signal));
  await expect(answer).rejects.toThrow(message);
});

test("who stops listening closes the connection", async () => {
  let closed: () => void = () => undefined;
  const isClosed = new Promise<void>((resolve) => (closed = resolve));
  const http = createServer((_incoming, response) => {
    response.on("close", closed);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: {"choices":[{"delta":{"content":"on and on"}}]}\n\n');
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const stop = new AbortController();
  const provider = await ollamaAt(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
  await expect(async () => {
    for await (const _chunk of provider.stream({ ...hello, model: "m" }, stop.signal)) stop.abort();
  }).rejects.toMatchObject({ code: "ABORTED" });
  await isClosed;
  await new Promise((resolve) => http.close(resolve));
});
