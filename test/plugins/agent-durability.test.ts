import { type Chunk, type Run, RclawError } from "@rclaw/plugin-sdk";
import { createTestState, fakeChannel, scriptedProvider, type TestState } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { agentBench, end, textTool, usage } from "./agent.support.ts";

const params = {
  message: "do it",
  sessionKey: "main",
  idempotencyKey: "r1",
  deliver: true,
  channel: "chat",
  to: "42",
};
const owner = { kind: "plugin", principal: "plugin:chat" } as const;

/** A state as a killed process leaves it: the run accepted, and these messages of it in the transcript. */
async function crashed(messages: readonly object[], runState: Run["state"] = "accepted"): Promise<TestState> {
  const state = createTestState();
  const { run } = await state.runs.accept({
    id: "r1",
    sessionKey: "agent:main:main",
    method: "agent",
    principal: owner.principal,
    params,
  });
  if (runState !== "accepted") await state.runs.mark(run, runState);
  const session = await state.sessions.open("main", new AbortController().signal);
  for (const message of messages) await session.append({ type: "message", message, runId: "r1" });
  await session[Symbol.asyncDispose]();
  return state;
}

const user = {
  role: "user",
  content: [{ type: "text", text: "[Sun 2026-11-22 10:57 UTC] do it" }],
  timestamp: 1,
};
const call = {
  role: "assistant",
  content: [{ type: "toolCall", id: "t1", name: "charge", arguments: {} }],
  stopReason: "toolUse",
  provider: "scripted",
  timestamp: 2,
};
const result = {
  role: "toolResult",
  toolCallId: "t1",
  toolName: "charge",
  content: [{ type: "text", text: "charged" }],
  isError: false,
  timestamp: 3,
};
const answer = {
  role: "assistant",
  content: [{ type: "text", text: "Done before." }],
  stopReason: "stop",
  provider: "scripted",
  timestamp: 4,
};

const settledRun = (state: TestState): Run | undefined => state.runs.find("agent", owner.principal, "r1");
const roles = (state: TestState): string[] =>
  state.transcript("main").map(({ message }) => (message as { role: string }).role);

test.each([
  ["nothing was written yet", [], ["user", "assistant"], 1],
  ["the user's message was written", [user], ["user", "assistant"], 1],
  ["a tool was asked for", [user, call], ["user", "assistant", "toolResult", "assistant"], 1],
  ["the tool was done", [user, call, result], ["user", "assistant", "toolResult", "assistant"], 1],
  [
    "the answer was written",
    [user, call, result, answer],
    ["user", "assistant", "toolResult", "assistant"],
    0,
  ],
])(
  "after a crash when %s the run goes on, and the answer is delivered once",
  async (_when, messages, expected, asked) => {
    const state = await crashed(messages);
    const provider = scriptedProvider(["Done now."]);
    const channel = fakeChannel("chat");
    let charged = 0;
    await using bench = await agentBench({
      state,
      providers: [provider],
      channels: [channel],
      tools: [textTool("charge", () => `charged ${++charged}`)],
    });
    await bench.until("r1", "final");
    await expect.poll(() => settledRun(state)?.state).toBe("ok");
    expect(roles(state)).toEqual(expected);
    expect(provider.requests).toHaveLength(asked);
    expect(channel.sent.map(({ text }) => text)).toEqual([asked ? "Done now." : "Done before."]);
    expect(charged).toBe(0);
  },
);

test("a call that a crash interrupted is answered for the model and never run again", async () => {
  const state = await crashed([user, call]);
  const provider = scriptedProvider(["I do not know whether it worked."]);
  await using bench = await agentBench({ state, providers: [provider], channels: [fakeChannel("chat")] });
  const seen: unknown[] = [];
  bench.context.hooks.on("tool_result_persist", ({ isSynthetic }) => void seen.push(isSynthetic));
  await bench.until("r1", "final");
  const [interrupted] = provider.requests[0]?.messages.at(-1)?.content ?? [];
  expect(interrupted).toMatchObject({
    type: "tool_result",
    id: "t1",
    isError: true,
    content: expect.stringContaining("not run again"),
  });
  expect(seen).toEqual([true]);
});

test("a run whose answer may have left is settled without sending it again", async () => {
  const state = await crashed([user, answer], "replying");
  const channel = fakeChannel("chat");
  const provider = scriptedProvider([]);
  await using bench = await agentBench({ state, providers: [provider], channels: [channel] });
  expect(settledRun(state)?.state).toBe("ok");
  expect(channel.sent).toEqual([]);
  expect(bench.events).toEqual([]);
  const again = await bench.call("agent", params, { caller: bench.caller(owner) });
  expect(again).toMatchObject({ status: "ok", result: { payloads: [{ text: "Done before." }] } });
});

test("a run is marked as replying before its answer leaves", async () => {
  const states: (string | undefined)[] = [];
  const state = createTestState();
  const channel = fakeChannel("chat");
  const watched = {
    ...channel,
    send: (...args: Parameters<typeof channel.send>) => (
      states.push(settledRun(state)?.state),
      channel.send(...args)
    ),
  };
  await using bench = await agentBench({
    state,
    providers: [scriptedProvider(["Yes."])],
    channels: [watched],
  });
  await bench.call("agent", params, { caller: bench.caller(owner) });
  expect(states).toEqual(["replying"]);
  expect(settledRun(state)?.state).toBe("ok");
});

test("nothing is accepted when it could not be stored", async () => {
  const state = createTestState();
  state.degraded = true;
  const provider = scriptedProvider(["never"]);
  await using bench = await agentBench({ state, providers: [provider] });
  const accepted: unknown[] = [];
  await expect(
    bench.call("agent", { message: "x", idempotencyKey: "a" }, { accepted }),
  ).rejects.toMatchObject({ code: "STORE_DEGRADED" });
  await expect(
    bench.call("chat.send", { sessionKey: "main", message: "x", idempotencyKey: "b" }),
  ).rejects.toMatchObject({ code: "STORE_DEGRADED" });
  expect(accepted).toEqual([]);
  expect(provider.requests).toEqual([]);
});

test("a disk that fills up during a run ends it with an error, and the next run works from what is stored", async () => {
  const state = createTestState();
  const provider = scriptedProvider([
    () => {
      state.degraded = true;
      return "lost";
    },
    "kept",
  ]);
  await using bench = await agentBench({ state, providers: [provider] });
  await bench.call("chat.send", { sessionKey: "main", message: "one", idempotencyKey: "c1" });
  expect((await bench.until("c1", "error")).payload["errorMessage"]).toContain("cannot write");
  state.degraded = false;
  await bench.call("chat.send", { sessionKey: "main", message: "two", idempotencyKey: "c2" });
  await bench.until("c2", "final");
  expect(JSON.stringify(provider.requests[1]?.messages)).not.toContain("lost");
});

test("a shutdown leaves the run accepted, says nothing, and the next process finishes it", async () => {
  const state = createTestState();
  const hanging = scriptedProvider([
    async function* (_request, signal) {
      yield { type: "text", delta: "half an " } as const;
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("stopped")), { once: true }),
      );
      yield end;
    },
  ]);
  const channel = fakeChannel("chat");
  const first = await agentBench({ state, providers: [hanging], channels: [channel] });
  const pending = first.call("agent", params, { caller: first.caller(owner) });
  const outcome = pending.catch((error: unknown) => error);
  await first.waitFor(({ payload }) => payload["state"] === "delta");
  await first[Symbol.asyncDispose]();
  expect(await outcome).toMatchObject({ code: "UNAVAILABLE", retryable: true });
  expect(settledRun(state)?.state).toBe("accepted");
  expect(first.story("r1")).toEqual(["agent:lifecycle:start", "agent:assistant", "chat:delta"]);
  expect(roles(state)).toEqual(["user"]);

  await using second = await agentBench({
    state,
    providers: [scriptedProvider(["the whole answer"])],
    channels: [channel],
  });
  await second.until("r1", "final");
  await expect.poll(() => settledRun(state)?.state).toBe("ok");
  expect(roles(state)).toEqual(["user", "assistant"]);
  expect(channel.sent.map(({ text }) => text)).toEqual(["the whole answer"]);
});

test("a delivery that fails for a moment is tried again, and one that fails for good is the run's error", async () => {
  const busy = new RclawError("UNAVAILABLE", "flood wait", { retryable: true, details: { retryAfterMs: 1 } });
  const channel = fakeChannel("chat", { failures: [busy, busy] });
  await using bench = await agentBench({
    providers: [scriptedProvider(["one", "two"])],
    channels: [channel],
  });
  await bench.call("agent", params, { caller: bench.caller(owner) });
  expect(channel.sent).toMatchObject([{ text: "one", to: "42", accountId: "default" }]);

  const dead = fakeChannel("chat", { failures: [new RclawError("UNAUTHORIZED", "the bot was blocked")] });
  await using other = await agentBench({ providers: [scriptedProvider(["one"])], channels: [dead] });
  await expect(other.call("agent", params, { caller: other.caller(owner) })).rejects.toThrow(
    "the bot was blocked",
  );
});

test("the call is on disk before the tool runs", async () => {
  const state = createTestState();
  let before: string[] = [];
  const script: readonly Chunk[] = [
    { type: "tool_use", id: "t1", name: "charge", input: {} },
    { type: "end", stopReason: "toolUse", usage },
  ];
  const tool = textTool("charge", () => {
    before = roles(state);
    return "charged";
  });
  await using bench = await agentBench({
    state,
    providers: [scriptedProvider([script, "ok"])],
    tools: [tool],
  });
  await bench.call("agent", { message: "pay", idempotencyKey: "a1" });
  expect(before).toEqual(["user", "assistant"]);
});

test("/new is not done twice when a crash came after it", async () => {
  const state = createTestState();
  const fields = { ...params, message: "/new again" };
  await state.runs.accept({
    id: "r1",
    sessionKey: "agent:main:main",
    method: "agent",
    principal: owner.principal,
    params: fields,
  });
  const session = await state.sessions.open("main", new AbortController().signal);
  await session.append({ type: "message", message: user, runId: "r1" });
  await session[Symbol.asyncDispose]();
  await using bench = await agentBench({
    state,
    providers: [scriptedProvider(["fresh"])],
    channels: [fakeChannel("chat")],
  });
  await bench.until("r1", "final");
  expect(roles(state)).toEqual(["user", "assistant"]);
});

test("what is said while the agent starts anew waits behind what was said before, in the same conversation", async () => {
  const state = createTestState();
  let release: () => void = () => undefined;
  const ending = new Promise<void>((resolve) => (release = resolve));
  const stubborn = scriptedProvider([
    async function* (_request, signal) {
      yield { type: "text", delta: "half an " } as const;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await ending;
      throw new Error("stopped");
    },
    "too early",
  ]);
  const first = await agentBench({ state, providers: [stubborn] });
  await first.call("chat.send", { sessionKey: "main", message: "one", idempotencyKey: "c1" });
  await first.waitFor(({ payload }) => payload["state"] === "delta");
  const closing = first[Symbol.asyncDispose]();
  const started = await first.call("chat.send", { sessionKey: "main", message: "two", idempotencyKey: "c2" });
  expect(started).toMatchObject({ runId: "c2", status: "started" });
  release();
  await closing;
  expect(stubborn.requests).toHaveLength(1);

  const provider = scriptedProvider(["answer one", "answer two"]);
  await using second = await agentBench({ state, providers: [provider] });
  await second.until("c2", "final");
  expect(state.transcript("main").map(({ runId }) => runId)).toEqual(["c1", "c1", "c2", "c2"]);
  expect(provider.requests.map(({ messages }) => messages.at(-1)?.role)).toEqual(["user", "user"]);
});

test("an answer that was to go where the session was last talked to goes there after a crash as well", async () => {
  const state = createTestState();
  await state.runs.accept({
    id: "r1",
    sessionKey: "agent:main:main",
    method: "agent",
    principal: "client:token",
    params: { message: "do it", sessionKey: "main", idempotencyKey: "r1", deliver: true },
  });
  const session = await state.sessions.open("main", new AbortController().signal);
  await session.patch({ lastChannel: "chat", lastTo: "42" });
  await session[Symbol.asyncDispose]();
  const channel = fakeChannel("chat");
  await using bench = await agentBench({
    state,
    providers: [scriptedProvider(["Yes."])],
    channels: [channel],
  });
  await bench.until("r1", "final");
  await expect.poll(() => channel.sent).toMatchObject([{ text: "Yes.", to: "42" }]);
});

test("a run that another method, another principal or another day gave the same id is not taken for it after a crash", async () => {
  const state = createTestState();
  const before = await agentBench({ state, providers: [scriptedProvider(["first"])] });
  await before.call("agent", { message: "one", sessionKey: "main", idempotencyKey: "same" });
  await before[Symbol.asyncDispose]();
  await state.runs.accept({
    id: "same",
    sessionKey: "agent:main:main",
    method: "chat.send",
    principal: before.caller().principal,
    params: { message: "two", sessionKey: "main", idempotencyKey: "same" },
  });
  await using bench = await agentBench({ state, providers: [scriptedProvider(["second"])] });
  await bench.until("same", "final");
  expect(roles(state)).toEqual(["user", "assistant", "user", "assistant"]);
  const again = await bench.call("agent", { message: "one", sessionKey: "main", idempotencyKey: "same" });
  expect(again).toMatchObject({ result: { payloads: [{ text: "first" }] } });
});

test("whoever waits for a run when the agent starts anew is told to ask again, and is told its end then", async () => {
  const state = createTestState();
  const hanging = scriptedProvider([
    async function* (_request, signal) {
      yield { type: "text", delta: "half an " } as const;
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("stopped")), { once: true }),
      );
    },
  ]);
  const first = await agentBench({ state, providers: [hanging] });
  await first.call("chat.send", { sessionKey: "main", message: "one", idempotencyKey: "c1" });
  await first.waitFor(({ payload }) => payload["state"] === "delta");
  const wait = { runId: "c1", timeoutMs: 60_000 };
  const { signal } = new AbortController();
  const waited = expect(first.call("agent.wait", wait, { signal })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
  });
  await first[Symbol.asyncDispose]();
  await waited;
  await using second = await agentBench({ state, providers: [scriptedProvider(["whole"])] });
  expect(await second.call("agent.wait", wait)).toMatchObject({ runId: "c1", status: "ok" });
});
