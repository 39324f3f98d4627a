import { readFileSync } from "node:fs";
import path from "node:path";
import {
  createTestContext,
  createTestState,
  type TestContext,
  type TestState,
} from "@rclaw/plugin-sdk/testing";
import JSON5 from "json5";
import { expect, test } from "vitest";
import usage from "../../plugins/services/usage/index.ts";

const manifest = JSON5.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../manifests/services/usage.json5"), "utf8"),
);
const signal = new AbortController().signal;
const zero = {
  input: 0,
  output: 0,
  cacheRead: 0,
  cacheWrite: 0,
  totalTokens: 0,
  totalCost: 0,
  inputCost: 0,
  outputCost: 0,
  cacheReadCost: 0,
  cacheWriteCost: 0,
  missingCostEntries: 0,
};
const today = new Date().toISOString().slice(0, 10);
const prices = {
  models: {
    providers: {
      mock: { models: [{ id: "mock-1", cost: { input: 2, output: 10, cacheRead: 1, cacheWrite: 0 } }] },
    },
  },
};

async function usageBench(
  state: TestState = createTestState(),
  config: object = {},
): Promise<TestContext<unknown>> {
  const bench = createTestContext({
    id: "usage",
    manifest,
    state,
    methods: { "config.get": () => ({ config }) },
  });
  await bench.activate(usage);
  return bench;
}

async function talk(state: TestState, key: string, messages: readonly object[]): Promise<void> {
  await using session = await state.sessions.open(key, signal);
  await session.append(...messages.map((message) => ({ type: "message", message })));
}

const question = { role: "user", content: [{ type: "text", text: `[Sun ${today} 10:57 UTC] how much?` }] };
const answer = (fields: object = {}): object => ({
  role: "assistant",
  content: [{ type: "text", text: "That much." }],
  provider: "mock",
  model: "mock-1",
  usage: { input: 100_000, output: 20_000, cacheRead: 0, cacheWrite: 0, totalTokens: 120_000 },
  stopReason: "stop",
  ...fields,
});

test("a gateway on which nobody has said anything answers as the recorded one does", async () => {
  await using bench = await usageBench();
  expect(await bench.call("usage.status")).toEqual({ updatedAt: expect.any(Number), providers: [] });
  expect(await bench.call("usage.cost")).toEqual({
    updatedAt: expect.any(Number),
    days: 31,
    daily: [],
    totals: zero,
  });
  expect(await bench.call("sessions.usage")).toEqual({
    updatedAt: expect.any(Number),
    startDate: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
    endDate: today,
    sessions: [],
    totals: zero,
    aggregates: {
      messages: { total: 0, user: 0, assistant: 0, toolCalls: 0, toolResults: 0, errors: 0 },
      tools: { totalCalls: 0, uniqueTools: 0, tools: [] },
      byModel: [],
      byProvider: [],
      byAgent: [],
      byChannel: [],
      dailyLatency: [],
      modelDaily: [],
      daily: [],
    },
  });
});

test("an answer whose price nobody knows costs nothing and is counted as such", async () => {
  const state = createTestState();
  await talk(state, "main", [question, answer()]);
  await using bench = await usageBench(state);
  const totals = { ...zero, input: 100_000, output: 20_000, totalTokens: 120_000, missingCostEntries: 1 };
  expect(await bench.call("usage.cost", { days: 7 })).toEqual({
    updatedAt: expect.any(Number),
    days: 8,
    daily: [{ date: today, ...totals }],
    totals,
  });
});

test("prices of the configuration are used, and those in the transcript come before them", async () => {
  const state = createTestState();
  const cost = { input: 1, output: 2, cacheRead: 0, cacheWrite: 0, total: 3 };
  await talk(state, "main", [question, answer(), question, answer({ usage: { input: 1, output: 1, cost } })]);
  await using bench = await usageBench(state, prices);
  expect((await bench.call("usage.cost")) as object).toMatchObject({
    totals: { totalCost: 3.4, inputCost: 1.2, outputCost: 2.2, missingCostEntries: 0, totalTokens: 120_002 },
  });
});

test("sessions.usage tells each session's messages, tools, models and days, and their sums", async () => {
  const state = createTestState();
  await talk(state, "main", [
    question,
    answer({ content: [{ type: "toolCall", id: "1", name: "exec", arguments: {} }], stopReason: "toolUse" }),
    {
      role: "toolResult",
      toolCallId: "1",
      toolName: "exec",
      content: [{ type: "text", text: "no" }],
      isError: true,
    },
    answer(),
  ]);
  await talk(state, "agent:main:telegram:group:5", [question, answer({ stopReason: "error" })]);
  await using bench = await usageBench(state, prices);
  const result = (await bench.call("sessions.usage", { limit: 10 })) as {
    sessions: { key: string; agentId: string; usage: Record<string, unknown> }[];
    aggregates: Record<string, unknown>;
    totals: object;
  };
  const main = result.sessions.find(({ key }) => key === "agent:main:main");
  expect(main).toMatchObject({
    agentId: "main",
    sessionId: "session-1",
    usage: {
      sessionId: "session-1",
      activityDates: [today],
      dailyBreakdown: [{ date: today, tokens: 240_000, cost: 0.8 }],
      dailyMessageCounts: [
        { date: today, total: 3, user: 1, assistant: 2, toolCalls: 1, toolResults: 1, errors: 1 },
      ],
      dailyModelUsage: [
        { date: today, provider: "mock", model: "mock-1", tokens: 240_000, cost: 0.8, count: 2 },
      ],
      messageCounts: { total: 3, user: 1, assistant: 2, toolCalls: 1, toolResults: 1, errors: 1 },
      toolUsage: { totalCalls: 1, uniqueTools: 1, tools: [{ name: "exec", count: 1 }] },
      modelUsage: [{ provider: "mock", model: "mock-1", count: 2, totals: { totalTokens: 240_000 } }],
      latency: { count: 2 },
      totalTokens: 240_000,
      totalCost: 0.8,
    },
  });
  expect(result.totals).toMatchObject({ totalTokens: 360_000, missingCostEntries: 0 });
  expect(result.aggregates).toMatchObject({
    messages: { total: 5, user: 2, assistant: 3, toolCalls: 1, toolResults: 1, errors: 2 },
    byModel: [{ provider: "mock", model: "mock-1", count: 3 }],
    byProvider: [{ provider: "mock", count: 3 }],
    byAgent: [{ agentId: "main", totals: { totalTokens: 360_000 } }],
    latency: { count: 3 },
    daily: [{ date: today, messages: 5, toolCalls: 1, errors: 2, tokens: 360_000 }],
  });
});

test("one session is asked for by its key, and a session without words is not listed", async () => {
  const state = createTestState();
  await talk(state, "main", [question, answer()]);
  await talk(state, "other", [question, answer()]);
  await (await state.sessions.open("empty", signal))[Symbol.asyncDispose]();
  await using bench = await usageBench(state);
  const keys = async (params: object): Promise<unknown> =>
    ((await bench.call("sessions.usage", params)) as { sessions: { key: string }[] }).sessions.map(
      ({ key }) => key,
    );
  expect(await keys({ key: "main" })).toEqual(["agent:main:main"]);
  const other = await state.sessions.find("other");
  expect(await keys({ key: `agent:main:${other?.sessionId}` })).toEqual(["agent:main:other"]);
  expect(await keys({ key: "agent:main:nobody" })).toEqual([]);
  expect(await keys({ limit: 1 })).toHaveLength(1);
  expect(((await keys({})) as string[]).toSorted()).toEqual(["agent:main:main", "agent:main:other"]);
});

test("days lie where the asker lives", async () => {
  const state = createTestState();
  await talk(state, "main", [question, answer()]);
  const [stored] = state.transcript("main").slice(-1);
  const at = Date.parse(stored?.timestamp ?? "");
  const dayAt = (minutes: number): string => new Date(at + minutes * 60_000).toISOString().slice(0, 10);
  await using bench = await usageBench(state);
  for (const [params, day] of [
    [{ mode: "utc" }, dayAt(0)],
    [{ mode: "specific", utcOffset: "UTC+14" }, dayAt(840)],
    [{ mode: "specific", utcOffset: "UTC-11:30" }, dayAt(-690)],
    [{ mode: "specific", timeZone: "Pacific/Kiritimati" }, dayAt(840)],
  ] as const) {
    const range = { startDate: day, endDate: day };
    expect(await bench.call("usage.cost", { ...params, ...range })).toMatchObject({
      days: 2,
      daily: [{ date: day, totalTokens: 120_000 }],
    });
  }
  expect(await bench.call("usage.cost", { startDate: "2020-01-01", endDate: "2020-01-31" })).toMatchObject({
    days: 32,
    daily: [],
  });
});

test("a session that goes on is read again", async () => {
  const state = createTestState();
  await talk(state, "main", [question, answer()]);
  await using bench = await usageBench(state);
  await bench.call("usage.cost");
  const { updatedAt } = (await state.sessions.find("main")) ?? { updatedAt: 0 };
  while (Date.now() === updatedAt) await new Promise((resolve) => setImmediate(resolve));
  await talk(state, "main", [answer()]);
  expect(await bench.call("usage.cost")).toMatchObject({ totals: { totalTokens: 240_000 } });
});

test("the time series adds up, in two hundred points at most", async () => {
  const state = createTestState();
  await talk(
    state,
    "main",
    Array.from({ length: 450 }, () => answer()),
  );
  await using bench = await usageBench(state, prices);
  const { sessionId, points } = (await bench.call("sessions.usage.timeseries", { key: "main" })) as {
    sessionId: string;
    points: Record<string, number>[];
  };
  expect(sessionId).toBe("session-1");
  expect(points).toHaveLength(150);
  expect(points[0]).toEqual({
    timestamp: expect.any(Number),
    input: 300_000,
    output: 60_000,
    cacheRead: 0,
    cacheWrite: 0,
    totalTokens: 360_000,
    cost: expect.closeTo(1.2),
    cumulativeTokens: 360_000,
    cumulativeCost: expect.closeTo(1.2),
  });
  expect(points.at(-1)?.["cumulativeTokens"]).toBe(450 * 120_000);
});

test("the log shows what was said without the gateway's own head, and what each answer used", async () => {
  const state = createTestState();
  await talk(state, "main", [question, answer(), { role: "user", content: "x".repeat(3_000) }]);
  await using bench = await usageBench(state, prices);
  const { logs } = (await bench.call("sessions.usage.logs", { key: "main" })) as { logs: object[] };
  expect(logs.slice(0, 2)).toEqual([
    { timestamp: expect.any(Number), role: "user", content: "how much?", tokens: undefined, cost: undefined },
    {
      timestamp: expect.any(Number),
      role: "assistant",
      content: "That much.",
      tokens: 120_000,
      cost: expect.closeTo(0.4),
    },
  ]);
  expect(logs[2]).toMatchObject({ content: `${"x".repeat(2_000)}…` });
  expect(await bench.call("sessions.usage.logs", { key: "main", limit: 1 })).toEqual({ logs: [logs[2]] });
  expect(await bench.call("sessions.usage.logs", { key: "nobody" })).toEqual({ logs: [] });
});

test("what is missing is named", async () => {
  await using bench = await usageBench();
  await expect(bench.call("sessions.usage.timeseries")).rejects.toThrow("key is required for timeseries");
  await expect(bench.call("sessions.usage.logs", { key: " " })).rejects.toThrow("key is required for logs");
  await expect(bench.call("sessions.usage.timeseries", { key: "main" })).rejects.toThrow(
    "No transcript found for session: main",
  );
});
