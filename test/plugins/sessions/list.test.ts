import type { Caller } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { toJson } from "../../../kernel/gateway/frames.ts";
import { addKernelMethods, createMethods, type Methods } from "../../../kernel/gateway/methods.ts";
import { sessionMethods } from "../../../plugins/services/sessions/methods.ts";
import type { SessionStore } from "../../../plugins/services/sessions/store.ts";
import { never, openStore, say, tempFolder } from "./support.ts";

const caller: Caller = {
  kind: "client",
  principal: "client:a",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
};

interface Listed {
  readonly count: number;
  readonly sessions: readonly Record<string, unknown>[];
  readonly [field: string]: unknown;
}

/** A store whose clock goes on with every look at it. */
async function bench(dir: string): Promise<{
  store: SessionStore;
  call(name: string, params?: unknown): Promise<unknown>;
  list(params?: object): Promise<Listed>;
  keys(params?: object): Promise<unknown[]>;
  at(time: number): void;
}> {
  let now = 1_795_345_000_000;
  const store = await openStore(dir, { now: () => ++now });
  const methods: Methods = createMethods({ activate: async () => undefined });
  const defaults = (): object => ({ modelProvider: "mock", model: "m-1", contextTokens: 1_000 });
  addKernelMethods(methods, sessionMethods({ store, defaults, now: () => now }));
  const call = (name: string, params: unknown = {}): Promise<unknown> =>
    methods.call(name, params, { caller, signal: never });
  const list = async (params: object = {}): Promise<Listed> => {
    const answer = (await call("sessions.list", params)) as Listed;
    // What goes over the wire is made of pieces; it must be what the object says.
    expect(JSON.parse(toJson(answer))).toEqual(JSON.parse(JSON.stringify(answer)));
    return answer;
  };
  return {
    store,
    call,
    list,
    keys: async (params) => (await list(params)).sessions.map(({ key }) => key),
    at: (time) => void (now = time),
  };
}

test("the list keeps its order while sessions change, come and go", async () => {
  using temp = tempFolder();
  const { store, call, keys } = await bench(temp.dir);
  for (const name of ["a", "b", "c"]) await store.patch(name, { label: name });
  expect(await keys()).toEqual(["agent:main:c", "agent:main:b", "agent:main:a"]);
  await say(store, "a", "hello");
  expect(await keys()).toEqual(["agent:main:a", "agent:main:c", "agent:main:b"]);
  await call("sessions.delete", { key: "c" });
  await store.patch("d", {});
  expect(await keys()).toEqual(["agent:main:d", "agent:main:a", "agent:main:b"]);
  for (let i = 0; i < 100; i++) await store.patch(`many-${i}`, {});
  await store.patch("b", { label: "bb" });
  const all = await keys();
  expect(all).toHaveLength(103);
  expect(all.slice(0, 2)).toEqual(["agent:main:b", "agent:main:many-99"]);
  expect(all.at(-1)).toBe("agent:main:a");
  await store.close();
});

test("a page that was asked for before shows what changed since", async () => {
  using temp = tempFolder();
  const { store, list } = await bench(temp.dir);
  await store.patch("a", { label: "before" });
  const params = { limit: 5, includeDerivedTitles: true, includeLastMessage: true };
  expect((await list(params)).sessions).toMatchObject([{ label: "before" }]);
  await store.patch("a", { label: "after" });
  await say(store, "a", "how are you?");
  expect((await list(params)).sessions).toMatchObject([
    { label: "after", derivedTitle: "how are you?", lastMessagePreview: "how are you?" },
  ]);
  const again = await list(params);
  expect(again.sessions[0]).toEqual((await list(params)).sessions[0]);
  await store.close();
});

test("what does not fit on a page is said, and the next one begins there", async () => {
  using temp = tempFolder();
  const { store, list, keys } = await bench(temp.dir);
  for (let i = 0; i < 7; i++) await store.patch(`s${i}`, {});
  expect(await list({ limit: 3 })).toMatchObject({
    count: 3,
    totalCount: 7,
    limitApplied: 3,
    nextOffset: 3,
    hasMore: true,
  });
  expect(await list({ limit: 3, offset: 6 })).toMatchObject({
    count: 1,
    totalCount: 7,
    offset: 6,
    nextOffset: null,
    hasMore: false,
  });
  expect(await keys({ limit: 2, offset: 3 })).toEqual(["agent:main:s3", "agent:main:s2"]);
  const whole = await list({ limit: 7 });
  expect(Object.keys(whole)).toEqual(["ts", "path", "count", "defaults", "sessions"]);
  await store.close();
});

test("pinned, archived and grouped sessions are found as later clients ask for them", async () => {
  using temp = tempFolder();
  const { store, call, keys } = await bench(temp.dir);
  await call("sessions.patch", { key: "a", pinned: true, category: "work" });
  await call("sessions.patch", { key: "b", archived: true });
  await call("sessions.patch", { key: "agent:main:subagent:x" });
  await call("sessions.patch", { key: "agent:main:cron:job" });
  expect(await keys({ pinned: true })).toEqual(["agent:main:a"]);
  expect(await keys({ archived: true })).toEqual(["agent:main:b"]);
  expect(await keys({ archived: "all" })).toHaveLength(4);
  expect(await keys({ group: "work" })).toEqual(["agent:main:a"]);
  expect(await keys({ excludeSubagents: true, excludeCron: true })).toEqual(["agent:main:a"]);
  await call("sessions.patch", { key: "b", archived: false });
  expect(await keys({ archived: true })).toEqual([]);
  await store.close();
});

test("only what lies within the last minutes is active, by the clock of each request", async () => {
  using temp = tempFolder();
  const { store, keys, at } = await bench(temp.dir);
  await store.patch("a", {});
  expect(await keys({ activeMinutes: 1 })).toEqual(["agent:main:a"]);
  at(1_795_345_000_000 + 120_000);
  expect(await keys({ activeMinutes: 1 })).toEqual([]);
  await store.close();
});

test("a session is resolved by exactly one of key, id and label, in the protocol's words", async () => {
  using temp = tempFolder();
  const { store, call } = await bench(temp.dir);
  await store.patch("main", { label: "My main" });
  await store.patch("agent:other:main", { label: "Twin" });
  await store.patch("agent:main:twin", { label: "Twin" });
  const { sessionId } = store.find("main") ?? {};
  const key = "agent:main:main";
  for (const params of [{ key: "main" }, { label: "My main" }, { sessionId }, { sessionId: key }])
    expect(await call("sessions.resolve", params)).toEqual({ ok: true, key });
  expect(await call("sessions.resolve", { label: "Twin", agentId: "other" })).toEqual({
    ok: true,
    key: "agent:other:main",
  });
  expect(await call("sessions.resolve", { key: "gone", allowMissing: true })).toEqual({ ok: false });
  for (const [params, message] of [
    [{}, "Either key, sessionId, or label is required"],
    [{ key: "main", label: "x" }, "Provide either key, sessionId, or label (not multiple)"],
    [{ key: "gone" }, "No session found: gone"],
    [{ sessionId: "gone" }, "No session found: gone"],
    [{ label: "gone" }, "No session found with label: gone"],
    [{ label: "Twin" }, "Multiple sessions found with label: Twin (agent:main:twin, agent:other:main)"],
    [{ label: "x".repeat(65) }, "invalid label: too long (max 64)"],
    [{ nope: 1 }, "invalid sessions.resolve params: at root: unexpected property 'nope'"],
  ] as const)
    await expect(call("sessions.resolve", params)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message,
    });
  await store.close();
});

test("a change that was meant for the session before its reset is refused", async () => {
  using temp = tempFolder();
  const { store, call } = await bench(temp.dir);
  await store.patch("a", {});
  const { sessionId: expectedSessionId } = store.find("a") ?? {};
  await call("sessions.patch", { key: "a", label: "fits", expectedSessionId });
  await call("sessions.reset", { key: "a" });
  for (const method of ["sessions.patch", "sessions.reset", "sessions.delete"])
    await expect(call(method, { key: "a", expectedSessionId })).rejects.toThrow("changed since it was read");
  expect(await call("sessions.patch", { key: "main", agentId: "other", label: "theirs" })).toMatchObject({
    key: "agent:other:main",
  });
  await store.close();
});
