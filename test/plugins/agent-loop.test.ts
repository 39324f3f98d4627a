import { type Chunk, isRclawError, RclawError, type ToolResult } from "@rclaw/plugin-sdk";
import { createTestContext, scriptedProvider, type ScriptedStep } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { ask } from "../../plugins/services/agent/ask.ts";
import { settingsOf } from "../../plugins/services/agent/config.ts";
import { type LoopEvent, runLoop } from "../../plugins/services/agent/loop.ts";
import type { HistoryMessage } from "../../plugins/services/agent/messages.ts";
import { createModels } from "../../plugins/services/agent/models.ts";
import { agentBench, end, textTool, usage } from "./agent.support.ts";

const choice = { provider: "scripted", model: "script-1", reason: "configured", isNamed: true };
const history: HistoryMessage[] = [{ role: "user", content: [{ type: "text", text: "hi" }] }];

async function collect(
  steps: readonly (readonly Chunk[])[],
  callTool: (id: string, name: string) => Promise<ToolResult>,
  maxTurns = 5,
) {
  const events: LoopEvent[] = [];
  const seen: (readonly HistoryMessage[])[] = [];
  const loop = runLoop(history, {
    maxTurns,
    resultLimit: 100,
    signal: new AbortController().signal,
    callTool,
    ask(messages) {
      seen.push(messages);
      const chunks = steps[seen.length - 1] ?? [];
      return Promise.resolve({
        choice,
        chunks: (async function* () {
          yield* chunks;
        })(),
      });
    },
  });
  for await (const event of loop) events.push(event);
  return { events, seen };
}

test("the loop only yields what happened: text, the whole answer, calls and their results", async () => {
  const { events, seen } = await collect(
    [
      [
        { type: "thinking", delta: "hm" },
        { type: "thinking", delta: "", signature: "sig" },
        { type: "text", delta: "Let me " },
        { type: "text", delta: "look." },
        { type: "tool_use", id: "t1", name: "look", input: { at: "it" } },
        { type: "end", stopReason: "toolUse", usage },
      ],
      [{ type: "text", delta: "Seen." }, end],
    ],
    async (_id, name) => ({ content: `${name} done`, details: { ms: 1 } }),
  );
  expect(events.map(({ type }) => type)).toEqual([
    "thinking",
    "text",
    "text",
    "assistant",
    "tool-start",
    "tool-result",
    "text",
    "assistant",
  ]);
  expect(seen[1]?.slice(1)).toEqual([
    {
      role: "assistant",
      maker: "scripted",
      content: [
        { type: "thinking", text: "hm", signature: "sig" },
        { type: "text", text: "Let me look." },
        { type: "tool_use", id: "t1", name: "look", input: { at: "it" } },
      ],
    },
    { role: "user", content: [{ type: "tool_result", id: "t1", content: "look done", isError: false }] },
  ]);
});

test("a long result is shortened for the model, and a hundred calls at once are not all run", async () => {
  let ran = 0;
  const calls: Chunk[] = Array.from({ length: 100 }, (_value, index) => ({
    type: "tool_use",
    id: `t${index}`,
    name: "look",
    input: {},
  }));
  const { seen } = await collect(
    [[...calls, { type: "end", stopReason: "toolUse", usage }], [end]],
    async () => {
      ran++;
      return { content: "x".repeat(1_000) };
    },
  );
  const results = seen[1]?.at(-1)?.content ?? [];
  expect(ran).toBe(32);
  expect(results).toHaveLength(100);
  expect(results[0]).toMatchObject({ content: expect.stringContaining("900 characters left out") });
  expect(results[99]).toMatchObject({ isError: true, content: expect.stringContaining("not run") });
});

test("calls get an id of their own when the model gave none, or one that was used before", async () => {
  const call = (id: string): Chunk => ({ type: "tool_use", id, name: "look", input: {} });
  const stop: Chunk = { type: "end", stopReason: "toolUse", usage };
  const { seen } = await collect(
    [
      [call("a"), call("a"), call(""), stop],
      [call("a"), stop],
      [{ type: "text", delta: "Seen." }, end],
    ],
    async () => ({ content: "ok" }),
  );
  const blocks = seen[2]?.flatMap(({ content }) => content) ?? [];
  const asked = blocks.flatMap((block) => (block.type === "tool_use" ? [block.id] : []));
  const answered = blocks.flatMap((block) => (block.type === "tool_result" ? [block.id] : []));
  expect(asked).toEqual([
    "a",
    expect.stringMatching(/^a_/),
    expect.stringMatching(/^call_/),
    expect.stringMatching(/^a_/),
  ]);
  expect(new Set(asked).size).toBe(4);
  expect(answered).toEqual(asked);
});

test("a call that was cut off at the limit of tokens is told so, and a sign of life leaves no trace", async () => {
  const { events } = await collect(
    [
      [
        { type: "thinking", delta: "" },
        { type: "tool_use", id: "t1", name: "write", input: '{"path":"a.txt","content":"once up' },
        { type: "end", stopReason: "length", usage },
      ],
      [{ type: "text", delta: "Shorter then." }, end],
    ],
    () => Promise.reject(new Error("must not run")),
  );
  expect(events.find(({ type }) => type === "assistant")).toMatchObject({ content: [{ type: "tool_use" }] });
  expect(events.find(({ type }) => type === "tool-result")).toMatchObject({
    outcome: {
      isError: true,
      content: expect.stringContaining("limit of tokens before the arguments of write"),
    },
  });
});

test("an answer without end is stopped before it fills the memory", async () => {
  const endless = Array.from({ length: 300 }, (): Chunk => ({ type: "text", delta: "x".repeat(10_000) }));
  await expect(collect([endless], async () => ({ content: "" }))).rejects.toThrow(
    "scripted/script-1 wrote more than 2 million characters and was stopped",
  );
});

const retry = { attempts: 3, baseDelayMs: 1, maxDelayMs: 20, idleTimeoutMs: 40 };
const busy = new RclawError("UNAVAILABLE", "scripted is overloaded (529)", { retryable: true });

function asking(steps: Record<string, readonly ScriptedStep[]>, now = () => Date.now()) {
  const providers = Object.entries(steps).map(([id, list], index) =>
    scriptedProvider(list, { id, rank: index + 1 }),
  );
  const { context } = createTestContext({ providers });
  const models = createModels({
    providers: context.providers,
    settings: settingsOf({}),
    log: context.log,
    signal: context.signal,
    now,
  });
  const controller = new AbortController();
  const choices = providers.map(({ id }) => ({
    provider: id,
    model: "m",
    reason: "configured",
    isNamed: true,
  }));
  return {
    providers,
    models,
    controller,
    async text(list = choices): Promise<string> {
      const request = { system: "", tools: [], messages: history, hasThinking: false };
      const answer = await ask(list, request, controller.signal, {
        providers: context.providers,
        models,
        retry,
        log: context.log,
      });
      let text = `${answer.choice.provider}: `;
      for await (const chunk of answer.chunks) if (chunk.type === "text") text += chunk.delta;
      return text;
    },
  };
}

test.each([
  ["an overloaded provider", busy],
  [
    "a limit that asks for a short wait",
    new RclawError("RATE_LIMITED", "429", { retryable: true, details: { retryAfterMs: 2 } }),
  ],
  ["a stream that was cut before any text", [{ type: "thinking", delta: "so" }] satisfies Chunk[]],
  ["a stream that is cut at once", []],
  ["an empty answer", [end]],
  ["an answer of white space", [{ type: "text", delta: " \n" }, end] satisfies Chunk[]],
])("%s is asked again", async (_what, step) => {
  const { text, providers } = asking({ a: [step, step, "here"] });
  expect(await text()).toBe("a: here");
  expect(providers[0]?.requests).toHaveLength(3);
});

test.each([
  ["a wrong key", new RclawError("UNAUTHORIZED", "no"), 1],
  ["a refused request", new RclawError("INVALID_REQUEST", "no"), 1],
  [
    "a limit that asks for an hour",
    new RclawError("RATE_LIMITED", "429", { retryable: true, details: { retryAfterMs: 3_600_000 } }),
    1,
  ],
  ["a bug", new Error("boom"), 1],
  ["three failures", busy, 3],
])("after %s the next model answers", async (_what, step, asked) => {
  const { text, providers } = asking({ a: [step, step, step], b: ["from b"] });
  expect(await text()).toBe("b: from b");
  expect(providers[0]?.requests).toHaveLength(asked);
});

test("when all fail there is one message with every attempt in it", async () => {
  const { text } = asking({
    a: [new RclawError("UNAUTHORIZED", "a refused the key")],
    b: [busy, busy, busy],
  });
  await expect(text()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "No model could answer. a/m refused the key. b/m: scripted is overloaded (529)",
  });
  await expect(text([])).rejects.toThrow("no provider is ready");
});

test("who only ever gets empty answers is told so", async () => {
  const { text } = asking({ a: [[end], [end], [end]] });
  await expect(text()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "a/m gave an empty answer; ask again",
  });
  const thinker = asking({
    a: [
      [
        { type: "thinking", delta: "so" },
        { type: "end", stopReason: "length", usage },
      ],
    ],
  });
  await expect(thinker.text()).rejects.toThrow(
    /^a\/m reached its limit of tokens.*raise agents\.defaults\.maxTokens/,
  );
});

test("after a tool an empty answer is one: there is nothing to add", async () => {
  const call: Chunk = { type: "tool_use", id: "t1", name: "look", input: {} };
  const provider = scriptedProvider([[call, { type: "end", stopReason: "toolUse", usage }], [end]]);
  await using bench = await agentBench({ providers: [provider], tools: [textTool("look", () => "seen")] });
  await bench.call("chat.send", { sessionKey: "main", message: "look", idempotencyKey: "c1" });
  expect((await bench.until("c1", "final")).payload["message"]).toBeUndefined();
  expect(provider.requests).toHaveLength(2);
});

test("a provider that failed is tried last for a while, and first again when it worked", async () => {
  let time = 0;
  const no = new RclawError("UNAUTHORIZED", "no");
  const { text, providers } = asking({ a: [no, "back"], b: ["b1", "b2"] }, () => time);
  expect(await text()).toBe("b: b1");
  expect(await text()).toBe("b: b2");
  expect(providers[0]?.requests).toHaveLength(1);
  time += 10_000;
  expect(await text()).toBe("a: back");
});

test("a stream that is cut after text was shown is an error and is not asked again", async () => {
  const { text, providers } = asking({ a: [[{ type: "text", delta: "half" }], "whole"] });
  await expect(text()).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("in the middle of its answer"),
  });
  expect(providers[0]?.requests).toHaveLength(1);
});

test("a provider that hangs and ignores its signal is given up after the idle time", async () => {
  const hang = async function* (): AsyncIterable<Chunk> {
    await new Promise(() => undefined);
    yield end;
  };
  const { text } = asking({ a: [hang, hang, hang], b: ["b"] });
  expect(await text()).toBe("b: b");
});

test("a stop ends a hanging provider and a wait at once", async () => {
  const hang = async function* (): AsyncIterable<Chunk> {
    await new Promise(() => undefined);
    yield end;
  };
  const first = asking({ a: [hang] });
  const stopped = first.text();
  first.controller.abort();
  await expect(stopped).rejects.toSatisfy((error) => isRclawError(error) && error.code === "ABORTED");
});

test("what breaks off in the middle names the whole model, and its kind", async () => {
  const broken = async function* (): AsyncIterable<Chunk> {
    yield { type: "text", delta: "Half" };
    throw new RclawError("RATE_LIMITED", "scripted is limiting requests; try again in a minute");
  };
  await using bench = await agentBench({ providers: [scriptedProvider([broken])] });
  await bench.call("chat.send", { sessionKey: "main", message: "hi", idempotencyKey: "c1" });
  expect((await bench.until("c1", "error")).payload).toMatchObject({
    errorMessage: "scripted/script-1 is limiting requests; try again in a minute",
    errorKind: "rate_limit",
  });
});

test("a partial text is kept in the transcript when its stream is cut", async () => {
  await using bench = await agentBench({
    providers: [scriptedProvider([[{ type: "text", delta: "Half an answer" }]])],
  });
  await bench.call("chat.send", { sessionKey: "main", message: "hi", idempotencyKey: "c1" });
  const failed = await bench.until("c1", "error");
  expect(failed.payload).toMatchObject({
    message: { content: [{ text: "Half an answer" }] },
    errorMessage: expect.stringContaining("in the middle"),
  });
  expect(bench.story("c1")).toEqual([
    "agent:lifecycle:start",
    "agent:assistant",
    "chat:delta",
    "agent:lifecycle:error",
    "chat:error",
  ]);
  expect(bench.state.transcript("main").at(-1)?.["message"]).toMatchObject({
    content: [{ type: "text", text: "Half an answer" }],
    stopReason: "error",
  });
});

test("the session's model wins over the configured one, an alias is followed, and a hook wins over both", async () => {
  const providers = ["a", "b", "c"].map((id, index) =>
    scriptedProvider(["1", "2", "3"], { id, rank: index }),
  );
  const config = { defaults: { model: { primary: "fast" }, models: { "b/big": { alias: "Fast" } } } };
  await using bench = await agentBench({ providers, config });
  const asked = () => providers.map(({ requests }) => requests.map(({ model }) => model).join());
  await bench.call("agent", { message: "x", idempotencyKey: "1" });
  expect(asked()).toEqual(["", "big", ""]);
  const session = await bench.state.sessions.open("main", bench.context.signal);
  await session.patch({ providerOverride: "c", modelOverride: "tiny" });
  await session[Symbol.asyncDispose]();
  await bench.call("agent", { message: "x", idempotencyKey: "2" });
  expect(asked()).toEqual(["", "big", "tiny"]);
  bench.context.hooks.on("before_model_resolve", () => ({ modelOverride: "a/hooked" }));
  await bench.call("agent", { message: "x", idempotencyKey: "3" });
  expect(asked()).toEqual(["hooked", "big", "tiny"]);
});

test("when nothing is configured the best ready provider answers, and another one when it is suddenly gone", async () => {
  const gone = scriptedProvider([new RclawError("UNAUTHORIZED", "gone")], { id: "local", rank: 1 });
  let isReady = true;
  const local = {
    ...gone,
    ready: async () => ({ ...(await gone.ready(new AbortController().signal)), ok: isReady }),
  };
  const guide = scriptedProvider(["guide here"], { id: "guide", rank: 100 });
  await using bench = await agentBench({ providers: [local, guide] });
  expect(await bench.call("models.default")).toMatchObject({ provider: "local" });
  isReady = false;
  const answer = await bench.call("agent", { message: "x", idempotencyKey: "1" });
  expect(answer).toMatchObject({ result: { payloads: [{ text: "guide here" }] } });
});

test("a provider that has just got its key answers soon, and one that is slow to say it is not is seldom asked", async () => {
  let time = 0;
  let hasKey = false;
  let delayMs = 0;
  let asked = 0;
  const { context } = createTestContext();
  const models = createModels({
    providers: {
      ...context.providers,
      ids: () => ["guide", "keyed"],
      ready(id) {
        if (id === "guide")
          return Promise.resolve({ ok: true, reason: "", defaultModel: "guide", rank: 100 });
        asked++;
        time += delayMs;
        return Promise.resolve({ ok: hasKey, reason: "", defaultModel: "best", rank: 10 });
      },
    },
    settings: settingsOf({}),
    log: context.log,
    signal: context.signal,
    now: () => time,
  });
  const who = async (): Promise<string | undefined> =>
    (await models.candidates({ agentId: "main" }))[0]?.model;
  expect(await who()).toBe("guide");
  hasKey = true;
  time += 1_000;
  expect(await who()).toBe("guide");
  time += 1_000;
  expect(await who()).toBe("best");

  delayMs = 1_000;
  time += 2_000;
  await who();
  const before = asked;
  time += 20_000;
  await who();
  expect(asked).toBe(before);
});
