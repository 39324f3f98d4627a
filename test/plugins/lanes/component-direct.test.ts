import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { componentize } from "componentize-qjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { asked, type Host, open } from "./component.support.ts";

const root = path.resolve(import.meta.dirname, "../../..");
let folder: string;
let bytes: Uint8Array;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-direct-"));
  const { component } = await componentize({
    witPath: path.join(root, "wit/since-v0.1.0"),
    jsSource: await readFile(path.join(root, "test/fixtures/guest/direct.js"), "utf8"),
    world: "tool-and-hook-plugin",
    optSize: true,
    stubWasi: true,
    sync: true,
  });
  bytes = component;
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const context = {
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "r",
  toolCallId: "1",
  isOwner: true,
};

/** The guest, and what running one of its tools says. */
async function start(answers: Host["answers"] = {}) {
  const host: Host = { answers, logged: [] };
  const guest = await open(bytes, folder, host);
  const offer = await guest.handle(asked("activate", { config: { greeting: "Hello" } }));
  const run = async (name: string, params: object = {}): Promise<string> => {
    const result = await guest.handle(asked("tool.execute", { name, params, context }));
    return (result as { content: string }).content;
  };
  return { guest, offer, run, host };
}

test("what it lists is its offer, and its tools and hooks answer", async () => {
  const { guest, offer, run, host } = await start();
  expect(offer).toMatchObject({
    tools: expect.arrayContaining([{ name: "greet", description: "greet", params: { type: "object" } }]),
    hooks: [{ name: "before_tool_call", priority: 5 }],
    channels: [],
  });
  expect(await run("greet", { name: "Ada" })).toBe("Hello Ada, agent:main:main, true");
  expect(host.logged).toMatchObject([{ level: "info", message: "running greet", fields: { name: "greet" } }]);
  const hook = (toolName: string) =>
    guest.handle(asked("hook", { index: 0, name: "before_tool_call", event: { toolName }, context: {} }));
  expect(await hook("exec")).toEqual({ block: true, blockReason: "before_tool_call" });
  expect(await hook("read")).toBeNull();
});

test("a setting that the guest refuses is its own error", async () => {
  const guest = await open(bytes, folder, { answers: {}, logged: [] });
  await expect(guest.handle(asked("activate", { config: { refuse: true } }))).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "this setting does not go",
  });
});

test("imports ask the host and stand still meanwhile", async () => {
  const kept = new Map<string, unknown>();
  const seen: unknown[] = [];
  const { run } = await start({
    "http.send"(params: object) {
      seen.push(params);
      return { status: 200, headers: [["x", "y"]], url: "https://a.example/", body: new Uint8Array(7) };
    },
    "storage.set": ({ key, value }: { key: string; value: unknown }) => void kept.set(key, value),
    "storage.get": ({ key }: { key: string }) => kept.get(key),
    "files.read": () => ({ base64: btoa("four") }),
    "files.list": () => [{ name: "a.txt", kind: "file", size: 4 }],
    "tools.call": (params: object) => ({ content: JSON.stringify(Object.keys(params)) }),
  });
  expect(await run("fetch", { url: "https://a.example/" })).toBe("200 y 7");
  expect(seen).toEqual([{ method: "GET", url: "https://a.example/", headers: [["a", "b"]] }]);
  expect(await run("keep", { value: [1, { a: "ü" }] })).toBe('[1,{"a":"ü"}] null');
  expect(await run("read", { path: "a.txt" })).toBe("4 of a.txt");
  expect(await run("other")).toBe('["name","params","call"]');
});

test("an error of the host reaches the guest with its code", async () => {
  const { run } = await start({
    "secrets.get"() {
      throw new RclawError("PERMISSION_DENIED", "add permissions.secrets");
    },
  });
  expect(await run("denied")).toBe("PERMISSION_DENIED: add permissions.secrets");
});

test("a guest cannot say on whose behalf it asks, nor ask for what has an interface of its own", async () => {
  const { guest, run } = await start({ "storage.get": (params: object) => Object.keys(params) });
  expect(await run("verb", { method: "storage.get" })).toBe('["key"]');
  const answer = guest.handle(
    asked("tool.execute", { name: "verb", params: { method: "http.fetch" }, context }),
  );
  await expect(answer).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

test("after a crash the next call finds a fresh instance with the same settings", async () => {
  const { guest, run } = await start();
  await expect(
    guest.handle(asked("tool.execute", { name: "crash", params: {}, context })),
  ).rejects.toMatchObject({
    code: "PLUGIN_FAILED",
    message: expect.stringContaining("crashed in its sandbox"),
  });
  expect(await run("greet", { name: "Ada" })).toMatch(/^Hello Ada/);
});

test("what a component does not have is refused", async () => {
  const { guest } = await start();
  await expect(guest.handle(asked("channel.send", {}))).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});
