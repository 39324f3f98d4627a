import { type HookName, isRclawError } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { createHookBus, type HookBusOptions } from "../../../kernel/hooks/bus.ts";
import { hookTable } from "../../../kernel/hooks/table.ts";
import { silent } from "../../../kernel/log.ts";

const place = { toolName: "exec", sessionKey: "agent:main:main" };
const call = { toolName: "exec", params: { command: "ls" } };

function bus(options: Partial<HookBusOptions> = {}) {
  return createHookBus({ log: silent, activate: () => Promise.resolve(), ...options });
}

test("there are exactly the twenty hooks of OpenClaw, each with a kind", () => {
  expect(Object.keys(hookTable)).toHaveLength(20);
  expect(new Set(Object.values(hookTable).map(({ kind }) => kind))).toEqual(
    new Set(["observe", "modify", "claim"]),
  );
});

test("modifying handlers run by priority and see what the one before made", async () => {
  const hooks = bus();
  const seen: unknown[] = [];
  hooks.on(
    { plugin: "late", name: "before_tool_call" },
    ({ params }) => {
      seen.push(params);
      return { params: { ...params, late: true } };
    },
    { priority: -1 },
  );
  hooks.on({ plugin: "early", name: "before_tool_call" }, () => ({ params: { command: "pwd" } }), {
    priority: 10,
  });
  const result = await hooks.run("before_tool_call", call, place);
  expect(seen).toEqual([{ command: "pwd" }]);
  expect(result).toEqual({ params: { command: "pwd", late: true } });
});

test("results merge as the table says: first, last, joined", async () => {
  const hooks = bus();
  hooks.on({ plugin: "a", name: "before_agent_start" }, () => ({
    modelOverride: "one",
    systemPrompt: "one",
    prependContext: "one",
  }));
  hooks.on({ plugin: "b", name: "before_agent_start" }, () => ({
    modelOverride: "two",
    systemPrompt: "two",
    prependContext: "two",
  }));
  const result = await hooks.run("before_agent_start", { prompt: "hi" }, {});
  expect(result).toEqual({ modelOverride: "one", systemPrompt: "two", prependContext: "one\n\ntwo" });
});

test("a claim ends the round", async () => {
  const hooks = bus();
  let reached = false;
  hooks.on({ plugin: "a", name: "message_received" }, () => ({ handled: true }));
  hooks.on({ plugin: "b", name: "message_received" }, () => void (reached = true));
  expect(
    await hooks.run("message_received", { from: "1", content: "hi" }, { channelId: "telegram" }),
  ).toEqual({ handled: true });
  expect(reached).toBe(false);
});

test.each<[string, () => unknown]>([
  [
    "throws",
    () => {
      throw new Error("broken");
    },
  ],
  ["rejects", () => Promise.reject(new Error("broken"))],
  ["hangs", () => new Promise(() => undefined)],
  ["returns a string", () => "yes"],
])("a guard that %s refuses, and is named", async (_how, handler) => {
  const failures: string[] = [];
  const hooks = bus({ onFailure: (plugin) => failures.push(plugin) });
  hooks.on({ plugin: "guard", name: "before_tool_call" }, handler as never, { timeoutMs: 20 });
  const error = await hooks.run("before_tool_call", call, place).catch((reason: unknown) => reason);
  expect(isRclawError(error) && error.message).toMatch(/"guard" failed in hook before_tool_call/);
  expect(failures).toEqual(["guard"]);
});

test("an observer that fails is skipped, the others still hear", async () => {
  const hooks = bus();
  const heard: string[] = [];
  hooks.on({ plugin: "a", name: "agent_end" }, () => {
    throw new Error("broken");
  });
  hooks.on({ plugin: "b", name: "agent_end" }, () => void heard.push("b"));
  await hooks.run("agent_end", { messages: [], success: true }, {});
  expect(heard).toEqual(["b"]);
});

test("a declared listener is activated by the first event that applies, and by no other", async () => {
  const activated: string[] = [];
  const hooks = bus({ activate: async (plugin) => void activated.push(plugin) });
  hooks.declare({ plugin: "shell-guard", name: "before_tool_call", filter: { toolName: ["exec"] } });
  await hooks.run("before_tool_call", { toolName: "read", params: {} }, { toolName: "read" });
  expect(activated).toEqual([]);
  await hooks.run("before_tool_call", call, place);
  expect(activated).toEqual(["shell-guard"]);
});

test("a guard that cannot be activated refuses", async () => {
  const hooks = bus({ activate: () => Promise.reject(new Error("no such file")) });
  hooks.declare({ plugin: "guard", name: "message_sending" });
  await expect(
    hooks.run("message_sending", { to: "1", content: "x" }, { channelId: "telegram" }),
  ).rejects.toThrow(/"guard" failed in hook message_sending/);
});

test("a handler that was disposed is gone", async () => {
  const hooks = bus();
  const listening = hooks.on({ plugin: "a", name: "message_sending" }, () => ({ cancel: true }));
  listening[Symbol.dispose]();
  expect(await hooks.run("message_sending", { to: "1", content: "x" }, { channelId: "telegram" })).toEqual(
    {},
  );
  expect(hooks.listeners()).toEqual([]);
});

test("every hook can be run with nobody listening", async () => {
  const hooks = bus();
  for (const name of Object.keys(hookTable) as HookName[]) expect(await hooks.run(name, {}, {})).toEqual({});
});
