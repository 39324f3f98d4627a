import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { LLMock } from "@copilotkit/aimock";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import openai, { type OpenAiConfig } from "../../plugins/providers/openai/index.ts";

const signal = new AbortController().signal;

async function ollamaAt(baseUrl: string) {
  const bench = createTestContext<OpenAiConfig>({ id: "openai", config: { ollama: { baseUrl } }, fetch });
  await bench.activate(openai);
  const registered = bench.contributions.providers.get("ollama");
  if (!registered) throw new Error("not registered");
  return registered;
}

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

test("it is ready when it answers, with the first model that can talk", async () => {
  await using http = await server((url) =>
    url === "/v1/models"
      ? { data: [{ id: "nomic-embed-text" }, { id: "llama3.2:3b" }, { id: "qwen3" }] }
      : { error: url },
  );
  const ollama = await ollamaAt(http.url);
  expect(await ollama.ready(signal)).toEqual({
    ok: true,
    reason: `ollama at ${http.url}/v1`,
    defaultModel: "llama3.2:3b",
    rank: 30,
  });
  expect((await ollama.models(signal)).map(({ id }) => id)).toEqual(["llama3.2:3b", "qwen3"]);
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
      const ollama = await ollamaAt(baseUrl);
      const messages = [{ role: "user", content: [{ type: "text", text: "hello" }] }] as const;
      let text = "";
      for await (const chunk of ollama.stream(
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
