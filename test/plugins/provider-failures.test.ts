import { type Chunk, definePlugin, RclawError } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { describe, expect, test, vi } from "vitest";
import anthropic from "../../plugins/providers/anthropic/index.ts";
import { toChunks } from "../../plugins/providers/anthropic/stream.ts";
import openai from "../../plugins/providers/openai/index.ts";

async function collect(stream: AsyncIterable<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe.each([
  ["anthropic", anthropic],
  ["openai", openai],
] as const)("%s", (id, plugin) => {
  async function answer(
    fetch: typeof globalThis.fetch,
    key = "sk-test-0000000000",
  ): Promise<readonly Chunk[]> {
    const env = { ANTHROPIC_API_KEY: key, OPENAI_API_KEY: key };
    const bench = createTestContext({ id, config: {}, env, fetch });
    await bench.activate(definePlugin(plugin as Parameters<typeof definePlugin>[0]));
    const provider = bench.contributions.providers.get(id);
    if (!provider) throw new Error("not registered");
    const request = { model: "m", system: "", messages: [], tools: [] };
    return collect(provider.stream(request, new AbortController().signal));
  }

  test("a key is taken without the white space around it, and one that cannot be a key is named", async () => {
    const seen: (string | null)[] = [];
    const listening: typeof fetch = (_url, init) => {
      seen.push(new Headers(init?.headers).get("authorization"));
      return Promise.reject(new RclawError("UNAVAILABLE", "could not reach it"));
    };
    await expect(answer(listening, " sk-test-1111111111\n")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(seen).toEqual(["Bearer sk-test-1111111111"]);
    await expect(answer(listening, "sk-test 2222\n3333")).rejects.toMatchObject({
      code: "UNAUTHORIZED",
      message: expect.stringMatching(/what stands in \w+_API_KEY is no API key/),
    });
    await expect(answer(listening, " \n")).rejects.toThrow("no API key; set");
    expect(seen).toHaveLength(1);
  });

  test("a page instead of a stream is no answer that broke off: it is the wrong address", async () => {
    const page: typeof fetch = () =>
      Promise.resolve(
        new Response("<h1>Log in</h1>", { headers: { "content-type": "text/html; charset=utf-8" } }),
      );
    await expect(answer(page)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message: expect.stringMatching(/answered with text\/html instead of a stream; check models\.providers/),
    });
  });

  test.each([
    [
      "UNAVAILABLE",
      "could not reach api.example: no connection (ENOTFOUND)",
      /^(?:anthropic|openai) could not be reached.* \(ENOTFOUND\); check/,
    ],
    [
      "EGRESS_DENIED",
      'plugin "x" may not reach a.example',
      /^(?:anthropic|openai): plugin "x" may not reach a\.example$/,
    ],
  ] as const)("%s of the guarded fetch is told in the words of a model", async (code, said, message) => {
    const refusing: typeof fetch = () =>
      Promise.reject(new RclawError(code, said, { retryable: code === "UNAVAILABLE" }));
    await expect(answer(refusing)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test("what the guarded fetch says in the middle of an answer is told in the words of a model", async () => {
    const cut: typeof fetch = () =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            pull: (controller) =>
              controller.error(new RclawError("UNAVAILABLE", "127.0.0.1 broke off its answer (ECONNRESET)")),
          }),
          { headers: { "content-type": "text/event-stream" } },
        ),
      );
    await expect(answer(cut)).rejects.toMatchObject({
      message: `${id} broke off its answer (ECONNRESET); ask again`,
    });
  });
});

test("a call that takes long to write is heard of meanwhile", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    async function* slowly() {
      const of = (type: string, fields: object) => ({ type, index: 0, ...fields }) as never;
      yield of("content_block_start", {
        content_block: { type: "tool_use", id: "t", name: "write", input: {} },
      });
      for (const partial_json of ['{"a"', ":1", "}"]) {
        vi.advanceTimersByTime(1_500);
        yield of("content_block_delta", { delta: { type: "input_json_delta", partial_json } });
      }
      yield of("content_block_stop", {});
    }
    const chunks = await collect(toChunks(slowly()));
    const sign = { type: "thinking", delta: "" };
    expect(chunks.slice(0, 3)).toEqual([sign, sign, sign]);
    expect(chunks.slice(3)).toEqual([{ type: "tool_use", id: "t", name: "write", input: { a: 1 } }]);
  } finally {
    vi.useRealTimers();
  }
});
