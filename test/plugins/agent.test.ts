import { type Chunk, RclawError } from "@rclaw/plugin-sdk";
import { fakeChannel, scriptedProvider } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { agentBench, chatText, end, textTool, usage } from "./agent.support.ts";

const hello = "Hello from the script. This reply is streamed in several deltas.";
const send = { sessionKey: "main", message: "hello there", idempotencyKey: "c1" };

test("chat.send answers started, streams as the recorded gateway does, and ends with the whole message", async () => {
  await using bench = await agentBench({ providers: [scriptedProvider([hello])] });
  expect(await bench.call("chat.send", send)).toEqual({ runId: "c1", status: "started" });
  expect(bench.events).toEqual([]);
  const final = await bench.until("c1", "final");
  expect(bench.story("c1")).toEqual([
    "agent:lifecycle:start",
    "agent:assistant",
    "chat:delta",
    "agent:lifecycle:end",
    "chat:final",
  ]);
  expect(final.payload).toMatchObject({ runId: "c1", sessionKey: "agent:main:main", state: "final" });
  expect(final.payload["message"]).toEqual({
    role: "assistant",
    content: [{ type: "text", text: hello }],
    timestamp: expect.any(Number),
  });
  const agentEvents = bench.events.filter(({ event }) => event === "agent");
  expect(agentEvents.map(({ payload }) => payload["seq"])).toEqual([1, 2, 3]);
  expect(final.payload["seq"]).toBe(3);
  const delta = bench.events.find(({ payload }) => payload["state"] === "delta");
  expect(delta?.payload).toMatchObject({
    seq: 2,
    deltaText: hello,
    message: { content: [{ type: "text", text: hello }] },
  });
});

test("a slow stream is one assistant event a piece, chat deltas are throttled, and nothing of the text is lost", async () => {
  const words = ["One ", "two ", "three."];
  async function* slowly(): AsyncIterable<Chunk> {
    for (const delta of words) {
      yield { type: "text", delta };
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    yield end;
  }
  await using bench = await agentBench({ providers: [scriptedProvider([() => slowly()])] });
  await bench.call("chat.send", send);
  await bench.until("c1", "final");
  const texts = bench.events
    .filter(({ payload }) => payload["stream"] === "assistant")
    .map(({ payload }) => payload["data"]);
  expect(texts).toEqual([
    { text: "One", delta: "One" },
    { text: "One two", delta: " two" },
    { text: "One two three.", delta: " three." },
  ]);
  const deltas = bench.events.filter(({ payload }) => payload["state"] === "delta");
  expect(deltas.map(chatText)).toEqual(["One", "One two three."]);
  expect(deltas.map(({ payload }) => payload["deltaText"]).join("")).toBe("One two three.");
});

test("a very long answer does not drown those who listen, and nothing of it is lost", async () => {
  const piece = "lorem ipsum ".repeat(400);
  async function* flood(): AsyncIterable<Chunk> {
    for (let count = 0; count < 300; count++) {
      yield { type: "text", delta: piece };
      await new Promise((resolve) => setImmediate(resolve));
    }
    yield end;
  }
  await using bench = await agentBench({ providers: [scriptedProvider([() => flood()])] });
  await bench.call("chat.send", send);
  const final = await bench.until("c1", "final");
  const whole = piece.repeat(300).trim();
  expect(chatText(final)).toBe(whole);
  const deltas = bench.events.filter(({ payload }) => payload["state"] === "delta");
  expect(deltas.map(({ payload }) => payload["deltaText"]).join("")).toBe(whole);
  const sent = bench.events.reduce((sum, { payload }) => sum + JSON.stringify(payload).length, 0);
  // Every event holds all that came before: 300 of them would be some two hundred times the answer.
  expect(sent).toBeLessThan(50 * whole.length);
});

test("agent answers twice: accepted at once, then the result with its accounting", async () => {
  await using bench = await agentBench({ providers: [scriptedProvider([hello])] });
  const accepted: unknown[] = [];
  const result = await bench.call(
    "agent",
    { message: "say hello", sessionKey: "main", idempotencyKey: "a1" },
    { accepted },
  );
  expect(accepted).toEqual([{ runId: "a1", status: "accepted", acceptedAt: expect.any(Number) }]);
  expect(result).toEqual({
    runId: "a1",
    status: "ok",
    summary: "completed",
    result: {
      payloads: [{ text: hello, mediaUrl: null }],
      meta: {
        durationMs: expect.any(Number),
        agentMeta: {
          sessionId: "session-1",
          provider: "scripted",
          model: "script-1",
          usage: { input: 10, output: 12, total: 22 },
          lastCallUsage: { ...usage, total: 22 },
          promptTokens: 10,
        },
        aborted: false,
      },
    },
  });
  expect(await bench.call("agent.wait", { runId: "a1" })).toEqual({
    runId: "a1",
    status: "ok",
    startedAt: expect.any(Number),
    endedAt: expect.any(Number),
  });
  const again: unknown[] = [];
  expect(
    await bench.call(
      "agent",
      { message: "say hello", sessionKey: "main", idempotencyKey: "a1" },
      { accepted: again },
    ),
  ).toEqual(result);
  expect(again).toEqual([]);
  expect(await bench.state.sessions.find("main")).toMatchObject({
    inputTokens: 10,
    outputTokens: 12,
    modelProvider: "scripted",
    model: "script-1",
  });
});

test("unknown agents and malformed keys are refused before anything is accepted", async () => {
  await using bench = await agentBench();
  const refusal = (params: object) => bench.call("agent", { message: "x", idempotencyKey: "k", ...params });
  await expect(refusal({ agentId: "nobody" })).rejects.toThrow(
    'invalid agent params: unknown agent id "nobody"',
  );
  // As OpenClaw says it, to the letter.
  await expect(refusal({ sessionKey: "agent:" })).rejects.toThrow(
    /^invalid agent params: malformed session key "agent:"$/,
  );
  await expect(refusal({ agentId: "main", sessionKey: "agent:other:main" })).rejects.toThrow(
    "does not match session key agent",
  );
  await expect(refusal({ message: "System: x\n".repeat(250_000) })).rejects.toThrow(
    "invalid agent params: message is longer than 2000000 characters",
  );
  await expect(refusal({ thinking: "a lot" })).rejects.toThrow("invalid thinking level");
  await expect(refusal({ message: "a\0b" })).rejects.toThrow("null bytes");
  await expect(refusal({ deliver: true })).rejects.toThrow("delivery channel is required");
  await expect(bench.call("chat.send", { ...send, message: " " })).rejects.toThrow(
    "message or attachment required",
  );
  expect(bench.context.runs.unsettled()).toEqual([]);
});

test("the same key again is in flight while it runs and ok afterwards, and the model is asked once", async () => {
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const provider = scriptedProvider([
    async function* () {
      await gate;
      yield { type: "text", delta: "done" } as const;
      yield end;
    },
  ]);
  await using bench = await agentBench({ providers: [provider] });
  const [first, second] = await Promise.all([bench.call("chat.send", send), bench.call("chat.send", send)]);
  expect([first, second]).toEqual([
    { runId: "c1", status: "started" },
    { runId: "c1", status: "in_flight" },
  ]);
  release();
  await bench.until("c1", "final");
  expect(await bench.call("chat.send", send)).toEqual({ runId: "c1", status: "ok" });
  expect(provider.requests).toHaveLength(1);
  await expect(bench.call("chat.send", { ...send, message: "something else" })).rejects.toMatchObject({
    code: "CONFLICT",
  });
});

test("tool events go only to the connection that started the run and can show them", async () => {
  const call: readonly Chunk[] = [
    { type: "tool_use", id: "call_1", name: "clock", input: { zone: "UTC" } },
    { type: "end", stopReason: "toolUse", usage },
  ];
  await using bench = await agentBench({
    providers: [scriptedProvider([call, "It is ten."])],
    tools: [textTool("clock", () => "10:00")],
  });
  await bench.call("chat.send", send, { caller: bench.caller({ connId: "ui", caps: ["tool-events"] }) });
  await bench.until("c1", "final");
  const tools = bench.events.filter(({ payload }) => payload["stream"] === "tool");
  expect(
    tools.map(({ connId, payload }) => ({ connId, seq: payload["seq"], data: payload["data"] })),
  ).toEqual([
    {
      connId: "ui",
      seq: 2,
      data: { phase: "start", name: "clock", toolCallId: "call_1", args: { zone: "UTC" } },
    },
    { connId: "ui", seq: 3, data: { phase: "result", name: "clock", toolCallId: "call_1", isError: false } },
  ]);
  expect(bench.story("c1")).toEqual([
    "agent:lifecycle:start",
    "agent:tool:start",
    "agent:tool:result",
    "agent:assistant",
    "chat:delta",
    "agent:lifecycle:end",
    "chat:final",
  ]);
  const roles = bench.state.transcript("main").map(({ message }) => (message as { role: string }).role);
  expect(roles).toEqual(["user", "assistant", "toolResult", "assistant"]);
});

test("without the capability no tool event is sent, but the sequence keeps its place", async () => {
  const call: readonly Chunk[] = [
    { type: "tool_use", id: "call_1", name: "clock", input: {} },
    { type: "end", stopReason: "toolUse", usage },
  ];
  await using bench = await agentBench({
    providers: [scriptedProvider([call, "ok"])],
    tools: [textTool("clock", () => "10:00")],
  });
  await bench.call("chat.send", send);
  const final = await bench.until("c1", "final");
  expect(bench.events.filter(({ payload }) => payload["stream"] === "tool")).toEqual([]);
  expect(final.payload["seq"]).toBe(5);
});

test("a refused tool is an answer that the model reads", async () => {
  const provider = scriptedProvider([
    [
      { type: "tool_use", id: "t1", name: "exec", input: { command: "rm -rf /" } },
      { type: "end", stopReason: "toolUse", usage },
    ],
    "I may not.",
  ]);
  const tool = textTool("exec", () => {
    throw new RclawError("POLICY_DENIED", "exec is not allowed here");
  });
  await using bench = await agentBench({ providers: [provider], tools: [tool] });
  await bench.call("agent", { message: "clean up", idempotencyKey: "a1" });
  expect(provider.requests[1]?.messages.at(-1)?.content).toEqual([
    { type: "tool_result", id: "t1", content: "exec is not allowed here", isError: true },
  ]);
});

test("chat.abort ends the run at once with its partial text and leaves it in the history", async () => {
  const provider = scriptedProvider([
    async function* (_request, signal) {
      yield { type: "text", delta: "Hello " } as const;
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
      );
    },
    "next",
  ]);
  await using bench = await agentBench({ providers: [provider] });
  await bench.call("chat.send", send);
  await bench.waitFor(({ payload }) => payload["state"] === "delta");
  await expect(bench.call("chat.abort", { sessionKey: "other", runId: "c1" })).rejects.toThrow(
    "runId does not match sessionKey",
  );
  expect(await bench.call("chat.abort", { sessionKey: "main", runId: "c1" })).toEqual({
    ok: true,
    aborted: true,
    runIds: ["c1"],
  });
  const aborted = await bench.until("c1", "aborted");
  expect(aborted.payload).toMatchObject({
    stopReason: "rpc",
    seq: 3,
    message: { content: [{ text: "Hello" }] },
  });
  expect(await bench.call("chat.abort", { sessionKey: "main" })).toEqual({
    ok: true,
    aborted: false,
    runIds: [],
  });
  // The session is free again.
  await bench.call("chat.send", { ...send, idempotencyKey: "c2" });
  await bench.until("c2", "final");
  const history = (await bench.call("chat.history", { sessionKey: "main" })) as {
    messages: Record<string, unknown>[];
  };
  expect(history.messages.map(({ role, stopReason }) => [role, stopReason])).toEqual([
    ["user", undefined],
    ["assistant", "aborted"],
    ["user", undefined],
    ["assistant", "stop"],
  ]);
  expect(bench.state.runs.find("chat.send", "client:test", "c1")?.state).toBe("aborted");
});

test.each(["stop", "STOP!", "停止", "/stop"])("the word %s stops what runs in the session", async (word) => {
  const provider = scriptedProvider([
    async function* (_request, signal) {
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
      );
      yield end;
    },
  ]);
  await using bench = await agentBench({ providers: [provider] });
  await bench.call("chat.send", send);
  await bench.waitFor(({ payload }) => payload["stream"] === "lifecycle");
  expect(await bench.call("chat.send", { ...send, message: word, idempotencyKey: "c2" })).toEqual({
    ok: true,
    aborted: true,
    runIds: ["c1"],
  });
  expect((await bench.until("c1", "aborted")).payload["stopReason"]).toBe("stop");
});

test("a run that takes too long is stopped and says so", async () => {
  const provider = scriptedProvider([
    async function* (_request, signal) {
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
      );
      yield end;
    },
  ]);
  const channel = fakeChannel("chat");
  await using bench = await agentBench({ providers: [provider], channels: [channel] });
  const wait = bench.call("agent.wait", { runId: "a1", timeoutMs: 5_000 });
  await bench.call("chat.send", {
    ...send,
    idempotencyKey: "a1",
    timeoutMs: 5,
    deliver: true,
    originatingChannel: "chat",
    originatingTo: "42",
  });
  expect((await bench.until("a1", "aborted")).payload["stopReason"]).toBe("timeout");
  expect(await wait).toMatchObject({ runId: "a1", status: "timeout", endedAt: expect.any(Number) });
  expect(channel.sent.map(({ text }) => text)).toEqual([expect.stringContaining("ran out of time")]);
});

test("agent.wait for a run nobody knows answers timeout", async () => {
  await using bench = await agentBench();
  expect(await bench.call("agent.wait", { runId: "nope", timeoutMs: 5 })).toEqual({
    runId: "nope",
    status: "timeout",
  });
});

test("a failure is one clear message: lifecycle error, chat error, and the second response of agent", async () => {
  const provider = scriptedProvider([new RclawError("UNAUTHORIZED", "scripted refused the API key")]);
  await using bench = await agentBench({ providers: [provider] });
  await expect(bench.call("agent", { message: "hi", idempotencyKey: "a1" })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "scripted/script-1 refused the API key",
    details: {
      payload: { runId: "a1", status: "error", summary: "scripted/script-1 refused the API key" },
    },
  });
  expect(bench.story("a1")).toEqual(["agent:lifecycle:start", "agent:lifecycle:error", "chat:error"]);
  expect(await bench.call("agent.wait", { runId: "a1" })).toMatchObject({
    status: "error",
    error: expect.stringContaining("API key"),
  });
  await expect(bench.call("agent", { message: "hi", idempotencyKey: "a1" })).rejects.toThrow(
    "refused the API key",
  );
});

test("an error that was not written for people stays in the log", async () => {
  await using bench = await agentBench({
    providers: [scriptedProvider([new Error("secret path /home/x/key sk-123")])],
  });
  await bench.call("chat.send", send);
  const failed = await bench.until("c1", "error");
  expect(JSON.stringify(bench.events)).not.toContain("sk-123");
  expect(failed.payload["errorMessage"]).toContain("the gateway's log says why");
});

test("a model that keeps calling tools is stopped after the configured turns", async () => {
  const call = (id: string): readonly Chunk[] => [
    { type: "tool_use", id, name: "clock", input: {} },
    { type: "end", stopReason: "toolUse", usage },
  ];
  const provider = scriptedProvider([call("1"), call("2"), call("3"), call("4")]);
  await using bench = await agentBench({
    config: { defaults: { maxTurns: 3 } },
    providers: [provider],
    tools: [textTool("clock", () => "x")],
  });
  await bench.call("chat.send", send);
  expect((await bench.until("c1", "error")).payload["errorMessage"]).toContain("3 turns");
  expect(provider.requests).toHaveLength(3);
});

test("NO_REPLY is neither shown nor delivered", async () => {
  const channel = fakeChannel("chat");
  await using bench = await agentBench({ providers: [scriptedProvider(["NO_REPLY"])], channels: [channel] });
  await bench.call("agent", {
    message: "fyi",
    idempotencyKey: "a1",
    deliver: true,
    channel: "chat",
    to: "1",
  });
  expect(bench.story("a1")).toEqual(["agent:lifecycle:start", "agent:lifecycle:end", "chat:final"]);
  expect((await bench.until("a1", "final")).payload).not.toHaveProperty("message");
  expect(channel.sent).toEqual([]);
});

test("runs of one session follow each other, and the next one knows what was said", async () => {
  const provider = scriptedProvider(["one", "two", "three"]);
  await using bench = await agentBench({ providers: [provider] });
  await Promise.all(
    ["a", "b", "c"].map((id) =>
      bench.call("chat.send", { ...send, message: `message ${id}`, idempotencyKey: id }),
    ),
  );
  await Promise.all(["a", "b", "c"].map((id) => bench.until(id, "final")));
  expect(provider.requests.map(({ messages }) => messages.length)).toEqual([1, 3, 5]);
  const [first, second] = provider.requests;
  expect(second?.system).toBe(first?.system);
  expect(second?.messages[0]).toEqual(first?.messages[0]);
  expect(second?.cacheKey).toBe("session-1");
});

test("pictures reach the model; other attachments are left out and oversized ones refused", async () => {
  const provider = scriptedProvider(["a cat", "a picture"]);
  await using bench = await agentBench({ providers: [provider] });
  const png = Buffer.from("not really a png").toString("base64");
  const attachments = [
    { mimeType: "image/png", content: `data:image/png;base64,${png}` },
    { mimeType: "application/pdf", content: png, fileName: "a.pdf" },
  ];
  await bench.call("agent", { message: "what is it", idempotencyKey: "a1", attachments });
  expect(provider.requests[0]?.messages[0]?.content.slice(1)).toEqual([
    { type: "image", mimeType: "image/png", data: png },
  ]);
  expect(bench.logs.join("\n")).toContain("a.pdf");
  const gif = Buffer.from("GIF89a and so on").toString("base64");
  const misnamed = [{ mimeType: "image/jpeg", content: gif }];
  await bench.call("agent", { message: "and this", idempotencyKey: "a3", attachments: misnamed });
  expect(provider.requests[1]?.messages.at(-1)?.content[1]).toMatchObject({ mimeType: "image/gif" });
  const half = { mimeType: "image/png", content: "A".repeat(4_200_000) };
  await expect(
    bench.call("agent", { message: "x", idempotencyKey: "a4", attachments: [half, half] }),
  ).rejects.toThrow("7.75 MiB with its attachments");
  await expect(
    bench.call("agent", { message: " ", idempotencyKey: "a5", attachments: [attachments[1]] }),
  ).rejects.toThrow("only pictures");
  const big = { mimeType: "image/png", content: "A".repeat(7_100_000) };
  await expect(
    bench.call("agent", { message: "x", idempotencyKey: "a2", attachments: [big] }),
  ).rejects.toThrow("larger than");
});

test("a message that is too long for its transcript is refused, not accepted and lost", async () => {
  const provider = scriptedProvider(["read"]);
  await using bench = await agentBench({ providers: [provider] });
  const photo = { mimeType: "image/png", content: "A".repeat(4_500_000) };
  for (const [idempotencyKey, message, attachments, code, limit] of [
    ["a1", "a".repeat(2_000_001), [], "TOO_LARGE", "2000000 characters"],
    ["a2", "look at these", [photo, photo], "INVALID_REQUEST", "7.75 MiB"],
  ] as const) {
    await expect(
      bench.call("chat.send", { sessionKey: "main", message, idempotencyKey, attachments }),
    ).rejects.toMatchObject({ code, message: expect.stringContaining(limit) });
  }
  await bench.call("agent", { message: '"'.repeat(2_000_000), idempotencyKey: "a3" });
  expect(provider.requests).toHaveLength(1);
});
