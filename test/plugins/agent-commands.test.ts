import { scriptedProvider } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { agentBench, chatText } from "./agent.support.ts";

const send = { sessionKey: "main", message: "hello there", idempotencyKey: "c1" };

test("/new starts a new session, fires its hooks, and what follows is the first prompt", async () => {
  const provider = scriptedProvider(["one", "two"]);
  await using bench = await agentBench({ providers: [provider] });
  const seen: string[] = [];
  bench.context.hooks.on(
    "before_reset",
    ({ reason, messages }) => void seen.push(`before_reset ${reason} ${messages?.length}`),
  );
  bench.context.hooks.on(
    "session_start",
    ({ sessionId, resumedFrom }) => void seen.push(`session_start ${sessionId} ${resumedFrom ?? ""}`),
  );
  bench.context.hooks.on(
    "session_end",
    ({ sessionId, messageCount }) => void seen.push(`session_end ${sessionId} ${messageCount}`),
  );
  await bench.call("agent", { message: "first", idempotencyKey: "a1" });
  await bench.call("agent", { message: "/new  second", idempotencyKey: "a2" });
  const before = (await bench.state.sessions.find("main"))?.sessionId;
  expect(seen).toEqual([
    "session_start session-1 ",
    "before_reset new 2",
    "session_end session-1 2",
    `session_start ${before} session-1`,
  ]);
  expect(provider.requests[1]?.messages).toHaveLength(1);
  expect(JSON.stringify(provider.requests[1]?.messages)).toContain("second");
  await bench.call("chat.send", { ...send, message: "/reset" });
  expect(chatText(await bench.until("c1", "final"))).toBe("Started a new session.");
  expect(provider.requests).toHaveLength(2);
});

test("/status and /help are answered without a model, as one final message", async () => {
  const provider = scriptedProvider([]);
  await using bench = await agentBench({ providers: [provider] });
  await bench.call("chat.send", { ...send, message: "/status" });
  const status = await bench.until("c1", "final");
  expect(bench.story("c1")).toEqual(["chat:final"]);
  expect(status.payload).toMatchObject({
    seq: 1,
    message: { provider: "rclaw", model: "gateway-injected", stopReason: "stop", usage: { totalTokens: 0 } },
  });
  expect(chatText(status)).toContain("scripted/script-1");
  for (const [i, message] of ["/help", "/start"].entries()) {
    await bench.call("chat.send", { ...send, message, idempotencyKey: `help${i}` });
    expect(chatText(await bench.until(`help${i}`, "final"))).toContain("/new");
  }
  expect(provider.requests).toEqual([]);
});

test("wake queues a line for the next prompt, or asks the model at once", async () => {
  const provider = scriptedProvider(["noted", "awake"]);
  await using bench = await agentBench({ providers: [provider] });
  expect(await bench.call("wake", { mode: "next-heartbeat", text: "the\noven is hot" })).toEqual({
    ok: true,
  });
  await bench.call("agent", { message: "hi", idempotencyKey: "a1" });
  const [block] = provider.requests[0]?.messages[0]?.content ?? [];
  expect(block?.type === "text" && block.text).toMatch(
    /^System: \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\] the oven is hot\n\n\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d UTC\] hi$/,
  );
  expect(await bench.call("wake", { mode: "now", text: "door bell" })).toEqual({ ok: true });
  await bench.waitFor(({ payload }) => payload["state"] === "final" && payload["runId"] !== "a1");
  expect(JSON.stringify(provider.requests[1]?.messages.at(-1))).toContain("door bell");
});

test("models.list gathers what the providers have and models.default says who answers and why", async () => {
  const broken = {
    ...scriptedProvider([], { id: "broken", rank: 0 }),
    models: () => Promise.reject(new Error("x")),
    ready: () => Promise.reject(new Error("x")),
  };
  await using bench = await agentBench({
    providers: [
      scriptedProvider([], { id: "b", rank: 5 }),
      scriptedProvider([], { id: "a", rank: 2 }),
      broken,
    ],
  });
  expect(await bench.call("models.list")).toEqual({
    models: [
      { id: "script-1", name: "Script", provider: "a" },
      { id: "script-1", name: "Script", provider: "b" },
    ],
  });
  expect(await bench.call("models.default")).toEqual({
    provider: "a",
    model: "script-1",
    reason: "scripted",
  });
});

test("wake reaches the session that is named, and no subagent, no agent that nobody configured", async () => {
  const provider = scriptedProvider(["noted"]);
  await using bench = await agentBench({ providers: [provider], config: { list: [{ id: "ops" }] } });
  const wake = (params: object) => bench.call("wake", { mode: "next-heartbeat", text: "tick", ...params });
  expect(await wake({ sessionKey: "agent:ops:main", agentId: "ops" })).toEqual({ ok: true });
  await bench.call("agent", { message: "hi", sessionKey: "agent:ops:main", idempotencyKey: "a1" });
  expect(JSON.stringify(provider.requests[0]?.messages)).toContain("tick");
  expect(await wake({ text: "  " })).toEqual({ ok: false });
  await expect(wake({ sessionKey: "agent:main:subagent:x" })).rejects.toThrow(
    "wake sessionKey cannot target a subagent session",
  );
  await expect(wake({ sessionKey: "agent:ops:main", agentId: "main" })).rejects.toThrow(
    "wake agentId contradicts the agent that owns sessionKey",
  );
  await expect(wake({ agentId: "nobody" })).rejects.toThrow('unknown agent id "nobody"');
});
