import { beforeAll, describe, expect, test } from "vitest";
import { anthropicKey, type ModelPeer, openaiKey, toolResult } from "../support/aimock.ts";
import { freshForAll } from "../support/fresh.ts";
import { ask, say } from "../support/product.ts";
import type { Client, Frame } from "../support/ws-client.ts";

const words = "iron remembers every rain that ever fell upon it";
const providers = [
  ["anthropic", "/v1/messages"],
  ["openai-completions", "/v1/chat/completions"],
  ["openai-responses", "/v1/responses"],
] as const;

describe.each(providers)("%s", (name, endpoint) => {
  const product = freshForAll({
    model: name,
    files: { "workspace/notes.txt": "oxide blooms quietly\n" },
  });
  let model: ModelPeer;
  let client: Client;
  beforeAll(async () => {
    ({ model } = product);
    client = await product.connect();
  });

  /** Says it in a session of its own; the whole story of the run, and how it ended. */
  async function tell(message: string): Promise<{
    end: Frame;
    events: readonly Frame[];
    requests: ReturnType<ModelPeer["requests"]>;
    history: readonly { role: string; content: unknown; stopReason?: string }[];
  }> {
    const sessionKey = `agent:main:${message.replaceAll(/\W+/g, "-")}`;
    const before = model.requests().length;
    const end = await say(client, message, { sessionKey });
    const { runId } = end.payload;
    await client.find(
      ({ event, payload }) =>
        event === "agent" && payload.runId === runId && ["end", "error"].includes(payload.data.phase),
    );
    const { messages: history } = await ask(client, "chat.history", { sessionKey });
    const events = client.frames.filter(
      ({ payload }) => payload?.runId === runId && payload.sessionKey === sessionKey,
    );
    const outcomes = events.filter(({ event, payload }) => event === "chat" && payload.state !== "delta");
    expect(outcomes, "one clear outcome").toEqual([end]);
    return { end, events, requests: model.requests().slice(before), history };
  }

  const textOf = (end: Frame): string => end.payload.message.content.map(({ text = "" }) => text).join("");

  test("streams an answer word by word", async () => {
    model.answer("tell me about iron", { content: words }, undefined, {
      chunkSize: 6,
      streamingProfile: { ttft: 10, tps: 100 },
    });
    const { end, events, requests, history } = await tell("tell me about iron");
    expect(end.payload.state).toBe("final");
    expect(textOf(end)).toBe(words);
    const deltas = events.filter(({ event, payload }) => event === "agent" && payload.stream === "assistant");
    expect(deltas.length).toBeGreaterThan(2);
    expect(deltas.map(({ payload }) => payload.data.delta).join("")).toBe(words);
    expect(requests).toHaveLength(1);
    expect(model.mock.getRequests().every(({ path: at }) => at === endpoint)).toBe(true);
    expect(history.map(({ role }) => role)).toEqual(["user", "assistant"]);
  });

  test("uses a tool and reads its result", async () => {
    model.answer(
      "read my notes",
      {
        content: "I look.",
        toolCalls: [{ name: "read", arguments: { path: "notes.txt" }, id: "toolu_look1" }],
      },
      (request) => ({ content: `They say: ${toolResult(request)}` }),
    );
    const { end, events, requests, history } = await tell("read my notes");
    expect(textOf(end)).toContain("They say:");
    expect(textOf(end)).toContain("oxide blooms quietly");
    const phases = events
      .filter(({ payload }) => payload.stream === "tool")
      .map(({ payload }) => `${payload.data.phase} ${payload.data.name}`);
    expect(phases).toEqual(["start read", "result read"]);
    expect(requests).toHaveLength(2);
    const call = requests[1]?.messages.flatMap(({ tool_calls: calls = [] }) => calls)[0];
    expect(call?.function.name).toBe("read");
    expect(requests[1]?.messages.at(-1)).toMatchObject({ role: "tool", tool_call_id: call?.id });
    expect(history.map(({ role }) => role)).toEqual(["user", "assistant", "toolResult", "assistant"]);
  });

  test("429: waits as long as it was told to, then asks again", async () => {
    const match = { userMessage: "hurry up" };
    model.mock.on(
      { ...match, sequenceIndex: 0 },
      { error: { message: "slow down", type: "rate_limit_error" }, status: 429, retryAfter: 1 },
    );
    model.mock.on({ ...match, sequenceIndex: 1 }, { content: words });
    const { end, requests } = await tell("hurry up");
    expect(end.payload.state).toBe("final");
    expect(textOf(end)).toBe(words);
    expect(requests).toHaveLength(2);
    const [first, second] = model.mock.getRequests().slice(-2);
    expect((second?.timestamp ?? 0) - (first?.timestamp ?? 0)).toBeGreaterThanOrEqual(990);
  });

  test("429 for longer than anybody would wait: says so at once", async () => {
    model.answer("hurry up for good", {
      error: { message: "slow down", type: "rate_limit_error" },
      status: 429,
      retryAfter: 3_600,
    });
    const { end, requests } = await tell("hurry up for good");
    expect(end.payload).toMatchObject({ state: "error", errorKind: "rate_limit" });
    expect(end.payload.errorMessage).toMatch(/limiting requests \(429\): slow down/);
    expect(requests).toHaveLength(1);
  });

  test("529: tries three times, then names the model and what to do", async () => {
    model.answer("are you busy", { error: { message: "Overloaded", type: "overloaded_error" }, status: 529 });
    const { end, requests, history } = await tell("are you busy");
    expect(end.payload.state).toBe("error");
    expect(end.payload.errorMessage).toMatch(
      /^(?:anthropic|openai)\/\S+ is overloaded \(529\); try again in a minute$/,
    );
    expect(requests).toHaveLength(3);
    expect(history.map(({ role, stopReason }) => stopReason ?? role)).toEqual(["user", "error"]);
  });

  test("529 that passes is not noticed", async () => {
    const match = { userMessage: "busy only once" };
    model.mock.on(
      { ...match, sequenceIndex: 0 },
      { error: { message: "Overloaded", type: "overloaded_error" }, status: 529 },
    );
    model.mock.on({ ...match, sequenceIndex: 1 }, { content: words });
    const { end, requests } = await tell("busy only once");
    expect(textOf(end)).toBe(words);
    expect(requests).toHaveLength(2);
  });

  test("a stream cut before its first word is asked for again", async () => {
    const match = { userMessage: "cut early" };
    model.mock.on(
      { ...match, sequenceIndex: 0 },
      { content: words },
      { truncateAfterChunks: 1, streamingProfile: { ttft: 5, tps: 100 } },
    );
    model.mock.on({ ...match, sequenceIndex: 1 }, { content: words });
    const { end, requests } = await tell("cut early");
    expect(end.payload.state).toBe("final");
    expect(textOf(end)).toBe(words);
    expect(requests).toHaveLength(2);
  });

  test("a stream cut in the middle keeps what was seen and says that it broke off", async () => {
    model.answer("cut late", { content: words }, undefined, {
      chunkSize: 6,
      truncateAfterChunks: 8,
      streamingProfile: { ttft: 5, tps: 100 },
    });
    const { end, requests, history } = await tell("cut late");
    expect(end.payload.state).toBe("error");
    expect(end.payload.errorMessage).toMatch(/broke off|stopped in the middle/);
    expect(words.startsWith(textOf(end))).toBe(true);
    expect(textOf(end).length).toBeGreaterThan(3);
    expect(requests).toHaveLength(1);
    expect(JSON.stringify(history.at(-1)?.content)).toContain(textOf(end));
  });

  test("SEC-196: no key was told to a client or written down", async () => {
    expect(await product.stop()).toBe(0);
    const key = name === "anthropic" ? anthropicKey : openaiKey;
    expect(JSON.stringify(client.frames)).not.toContain(key);
    expect(await product.state.filesWith(key)).toEqual([]);
    expect(product.stderr()).toBe("");
  });
});
