import type { Caller } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { addKernelMethods, createMethods, type Methods } from "../../../kernel/gateway/methods.ts";
import { sessionMethods, type SessionMethodsOptions } from "../../../plugins/services/sessions/methods.ts";
import type { SessionStore } from "../../../plugins/services/sessions/store.ts";
import { never, openStore, say, tempFolder } from "./support.ts";

const owner: Caller = {
  kind: "client",
  principal: "client:a",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
};
const defaults = () => ({ modelProvider: "mock", model: "mock-1", contextTokens: 128_000 });

function methodsOf(
  store: SessionStore,
  options: Partial<SessionMethodsOptions> = {},
): (name: string, params?: unknown, caller?: Caller) => Promise<unknown> {
  const methods: Methods = createMethods({ activate: async () => undefined });
  addKernelMethods(methods, sessionMethods({ store, defaults, ...options }));
  return (name, params = {}, caller = owner) => methods.call(name, params, { caller, signal: never });
}

test("the recorded exchange: patch, list and preview answer as OpenClaw does", async () => {
  using temp = tempFolder();
  let now = 1_795_345_049_517;
  const store = await openStore(temp.dir, { now: () => now });
  const call = methodsOf(store, { now: () => now });
  const path = `${temp.dir}/sessions.json`;
  const empty = {
    ts: now,
    path,
    count: 0,
    defaults: { modelProvider: "mock", model: "mock-1", contextTokens: 128_000 },
    sessions: [],
  };
  expect(await call("sessions.list")).toEqual(empty);
  expect(
    await call("sessions.list", {
      limit: 5,
      includeGlobal: true,
      includeDerivedTitles: true,
      includeLastMessage: true,
    }),
  ).toEqual(empty);

  const main = {
    sessionId: expect.any(String) as string,
    updatedAt: now,
    label: "My main",
    thinkingLevel: "low",
    verboseLevel: "on",
  };
  const patched = await call("sessions.patch", {
    key: "main",
    label: "My main",
    thinkingLevel: "low",
    verboseLevel: "on",
  });
  expect(patched).toEqual({
    ok: true,
    path,
    key: "agent:main:main",
    entry: main,
    resolved: { modelProvider: "mock", model: "mock-1" },
  });
  now += 75;
  const group = "agent:main:telegram:group:-100123";
  expect(await call("sessions.patch", { key: group, label: "grp" })).toMatchObject({
    key: group,
    entry: { updatedAt: now, label: "grp" },
  });

  await expect(call("sessions.patch", { key: "main", thinkingLevel: "bogus" })).rejects.toThrow(
    "invalid thinkingLevel (use off|minimal|low|medium|high)",
  );
  await expect(call("sessions.patch", { key: "main", nope: 1 })).rejects.toThrow(
    "invalid sessions.patch params: at root: unexpected property 'nope'",
  );
  await expect(call("sessions.patch", {})).rejects.toThrow(
    "invalid sessions.patch params: must have required property 'key'",
  );

  const standard = { totalTokensFresh: false, modelProvider: "mock", model: "mock-1" };
  const listed = await call("sessions.list", { limit: 10 });
  expect(listed).toEqual({
    ...empty,
    ts: now,
    count: 2,
    sessions: [
      {
        key: group,
        kind: "group",
        label: "grp",
        displayName: "telegram:g-100123",
        channel: "telegram",
        updatedAt: now,
        sessionId: store.find(group)?.sessionId,
        ...standard,
      },
      { key: "agent:main:main", kind: "direct", displayName: "My main", ...main, ...standard },
    ],
  });
  expect(Object.keys((listed as { sessions: object[] }).sessions[1] ?? {})).toEqual([
    "key",
    "kind",
    "label",
    "displayName",
    "updatedAt",
    "sessionId",
    "thinkingLevel",
    "verboseLevel",
    "totalTokensFresh",
    "modelProvider",
    "model",
  ]);
  expect(await call("sessions.preview", { keys: ["main", "missing-key"] })).toEqual({
    ts: now,
    previews: [
      { key: "main", status: "empty", items: [] },
      { key: "missing-key", status: "missing", items: [] },
    ],
  });

  await expect(call("sessions.delete", { key: "main" })).rejects.toThrow(
    "Cannot delete the main session (agent:main:main).",
  );
  expect(await call("sessions.delete", { key: group })).toEqual({
    ok: true,
    key: group,
    deleted: true,
    archived: [],
  });
  expect(await call("sessions.delete", { key: group })).toEqual({
    ok: true,
    key: group,
    deleted: false,
    archived: [],
  });
  expect(await call("sessions.reset", { key: "main" })).toEqual({
    ok: true,
    key: "agent:main:main",
    entry: {
      sessionId: expect.any(String) as string,
      updatedAt: now,
      systemSent: false,
      abortedLastRun: false,
      thinkingLevel: "low",
      verboseLevel: "on",
      label: "My main",
      inputTokens: 0,
      outputTokens: 0,
      totalTokens: 0,
      totalTokensFresh: true,
    },
  });
  await store.close();
});

test("a list tells where a conversation takes place, from the one thing that is stored of it", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const places = {
    main: { lastChannel: "webchat" },
    "agent:main:telegram:direct:42": { lastChannel: "telegram", lastTo: "42", lastAccountId: "default" },
    "agent:main:telegram:group:-7": { lastChannel: "telegram", lastTo: "-7", lastThreadId: null },
    "agent:main:elsewhere": {},
  };
  for (const [key, place] of Object.entries(places)) {
    await using session = await store.open(key, never);
    await session.patch(place);
  }
  const { sessions } = (await methodsOf(store)("sessions.list", {})) as {
    sessions: Record<string, unknown>[];
  };
  const shown = sessions.map(({ key, chatType, origin, deliveryContext }) => [
    key,
    { chatType, origin, deliveryContext },
  ]);
  expect(Object.fromEntries(shown)).toEqual({
    "agent:main:main": {
      chatType: "direct",
      origin: { provider: "webchat", surface: "webchat", chatType: "direct" },
      deliveryContext: { channel: "webchat" },
    },
    "agent:main:telegram:direct:42": {
      chatType: "direct",
      origin: { provider: "telegram", surface: "telegram", chatType: "direct" },
      deliveryContext: { channel: "telegram", to: "42", accountId: "default" },
    },
    "agent:main:telegram:group:-7": {
      chatType: "group",
      origin: { provider: "telegram", surface: "telegram", chatType: "group" },
      deliveryContext: { channel: "telegram", to: "-7" },
    },
    "agent:main:elsewhere": {},
  });
  await store.close();
});

test("a list shows titles and last messages, and preview the last things said", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  await say(store, "main", "say hello");
  const session = await store.open("main", never);
  await session.append(
    {
      type: "message",
      message: { role: "assistant", content: [{ type: "toolCall", id: "1", name: "exec", arguments: {} }] },
    },
    {
      type: "message",
      message: { role: "toolResult", toolName: "exec", content: [{ type: "text", text: "done" }] },
    },
    { type: "message", message: { role: "assistant", content: [{ type: "text", text: "Hello there. " }] } },
    { type: "custom", customType: "model-snapshot", data: {} },
  );
  await session[Symbol.asyncDispose]();
  const list = async (): Promise<Record<string, unknown>> =>
    (
      (await call("sessions.list", { includeDerivedTitles: true, includeLastMessage: true })) as {
        sessions: Record<string, unknown>[];
      }
    ).sessions[0] ?? {};
  expect(await list()).toMatchObject({ derivedTitle: "say hello", lastMessagePreview: "Hello there." });
  expect(await call("sessions.preview", { keys: ["main"] })).toMatchObject({
    previews: [
      {
        status: "ok",
        items: [
          { role: "user", text: "say hello" },
          { role: "tool", text: "call exec" },
          { role: "tool", text: "done" },
          { role: "assistant", text: "Hello there." },
        ],
      },
    ],
  });
  expect(await call("sessions.preview", { keys: ["main"], limit: 1, maxChars: 20 })).toMatchObject({
    previews: [{ items: [{ text: "Hello there." }] }],
  });
  await say(store, "main", `a rather long question about many things ${"and more of them ".repeat(30)}`);
  expect((await list())["lastMessagePreview"]).toMatch(/^a rather long .{210,223}\.\.\.$/);
  await call("sessions.reset", { key: "main", reason: "new" });
  await say(store, "main", "what is the meaning of a title that goes on and on until nobody reads it");
  expect(await list()).toMatchObject({
    derivedTitle: "what is the meaning of a title that goes on and on until…",
  });
  await store.close();
});

test("a preview stays small and whole, however much is asked for and however long the messages are", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  await say(
    store,
    "long",
    ...Array.from({ length: 80 }, (_item, number) => `${number} ${"😀".repeat(5_000)}`),
  );
  const asked = { keys: ["long"], limit: 1_000_000, maxChars: 1_000_000_000 };
  const preview = async (params: object): Promise<readonly { text: string }[]> => {
    const answer = await call("sessions.preview", { ...asked, ...params });
    return (answer as { previews: { items: { text: string }[] }[] }).previews[0]?.items ?? [];
  };
  const items = await preview({});
  expect(items).toHaveLength(50);
  expect(items.at(-1)?.text).toMatch(/^79 /);
  for (const maxChars of [20, 21, 2_000, 1_000_000_000]) {
    for (const { text } of await preview({ maxChars })) {
      expect(text.length).toBeLessThanOrEqual(Math.min(maxChars, 2_000));
      expect(text).not.toMatch(/\p{Cs}/u);
    }
  }
  await say(store, "huge", ...Array.from({ length: 8 }, () => "x".repeat(600_000)));
  expect(await preview({ keys: ["huge"] })).toHaveLength(2);
  await store.close();
});

test("a list is filtered as asked", async () => {
  using temp = tempFolder();
  let now = 1_000_000_000;
  const store = await openStore(temp.dir, { now: () => now });
  const call = methodsOf(store, { now: () => now });
  for (const [key, fields] of [
    ["global", {}],
    ["unknown", {}],
    ["agent:main:main", { label: "home" }],
    ["agent:work:main", { subject: "Project X" }],
    ["agent:main:subagent:1", { spawnedBy: "agent:main:main" }],
    ["cron:job:run:7", {}],
    ["cron:job", {}],
  ] as const) {
    now += 60_000;
    await store.patch(key, fields);
  }
  const keys = async (params: object): Promise<readonly string[]> =>
    ((await call("sessions.list", params)) as { sessions: { key: string }[] }).sessions.map(({ key }) => key);
  expect(await keys({})).toEqual([
    "agent:main:cron:job",
    "agent:main:subagent:1",
    "agent:work:main",
    "agent:main:main",
  ]);
  expect(await keys({ includeGlobal: true, includeUnknown: true })).toHaveLength(6);
  expect(await keys({ agentId: "work" })).toEqual(["agent:work:main"]);
  expect(await keys({ spawnedBy: "agent:main:main" })).toEqual(["agent:main:subagent:1"]);
  expect(await keys({ label: "home" })).toEqual(["agent:main:main"]);
  expect(await keys({ search: "project" })).toEqual(["agent:work:main"]);
  expect(await keys({ activeMinutes: 2 })).toEqual(["agent:main:cron:job", "agent:main:subagent:1"]);
  expect(await keys({ limit: 1 })).toEqual(["agent:main:cron:job"]);
  await store.close();
});

test.each([
  [{ thinkingLevel: "Med" }, { thinkingLevel: "medium" }],
  [{ thinkingLevel: "xhigh" }, { thinkingLevel: "xhigh" }],
  [
    { verboseLevel: "full", reasoningLevel: "stream", elevatedLevel: "ask" },
    { verboseLevel: "full", reasoningLevel: "stream", elevatedLevel: "ask" },
  ],
  [{ responseUsage: "on" }, { responseUsage: "tokens" }],
  [
    { execHost: "Node", execSecurity: "deny", execAsk: "always", execNode: " n " },
    { execHost: "node", execSecurity: "deny", execAsk: "always", execNode: "n" },
  ],
  [{ model: "anthropic/claude-x" }, { providerOverride: "anthropic", modelOverride: "claude-x" }],
  [{ model: "mock-2" }, { providerOverride: "mock", modelOverride: "mock-2" }],
  [
    { sendPolicy: "deny", groupActivation: "always", fastMode: true, traceLevel: "x" },
    { sendPolicy: "deny", groupActivation: "always", fastMode: true, traceLevel: "x" },
  ],
])("a patch with %j stores %j, and null removes it", async (params, stored) => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  await call("sessions.patch", { key: "s", ...params });
  expect(store.find("s")).toMatchObject(stored);
  await call("sessions.patch", {
    key: "s",
    ...Object.fromEntries(Object.keys(params).map((name) => [name, null])),
  });
  expect(Object.keys(store.find("s") ?? {}).toSorted()).toEqual(["sessionId", "updatedAt"]);
  await store.close();
});

test.each([
  [{ verboseLevel: "x" }, 'invalid verboseLevel (use "on"|"off")'],
  [{ reasoningLevel: "x" }, 'invalid reasoningLevel (use "on"|"off"|"stream")'],
  [{ elevatedLevel: "x" }, 'invalid elevatedLevel (use "on"|"off"|"ask"|"full")'],
  [{ execHost: "x" }, 'invalid execHost (use "sandbox"|"gateway"|"node")'],
  [{ execSecurity: "constructor" }, 'invalid execSecurity (use "deny"|"allowlist"|"full")'],
  [{ execAsk: "x" }, 'invalid execAsk (use "off"|"on-miss"|"always")'],
  [{ execNode: " " }, "invalid execNode: empty"],
  [{ model: " " }, "invalid model: empty"],
  [{ model: "mock/" }, "invalid model: empty"],
  [{ model: "/mock-1" }, "invalid model: /mock-1 (use provider/model)"],
  [{ label: " " }, "invalid label: empty"],
  [{ label: "x".repeat(65) }, "invalid label: too long (max 64)"],
  [{ label: "taken" }, "label already in use: taken"],
  [{ spawnedBy: "agent:main:main" }, "spawnedBy is only supported for subagent:* sessions"],
  [{ spawnDepth: 1 }, "spawnDepth is only supported for subagent:* sessions"],
])("a patch with %j is refused: %s", async (params, message) => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await store.patch("other", { label: "taken" });
  const call = methodsOf(store);
  await expect(call("sessions.patch", { key: "s", ...params })).rejects.toMatchObject({
    code: "INVALID_REQUEST",
    message,
  });
  expect(store.find("s")).toBeUndefined();
  await store.close();
});

test("a blank key is none, and only what is archived is deleted from the archive", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  for (const method of ["sessions.patch", "sessions.reset", "sessions.delete", "sessions.compact"])
    await expect(call(method, { key: "  " }), method).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message: "key required",
    });
  await call("sessions.patch", { key: "old" });
  const fromArchive = { key: "old", archivedOnly: true };
  await expect(call("sessions.delete", fromArchive)).rejects.toThrow(
    "Session agent:main:old is not archived. Archive it first, then delete it.",
  );
  await call("sessions.patch", { key: "old", archived: true });
  expect(await call("sessions.delete", fromArchive)).toMatchObject({ deleted: true });
  await store.close();
});

test("who spawned a subagent is written once", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  const key = "agent:main:subagent:1";
  await call("sessions.patch", { key, spawnedBy: "agent:main:main", spawnDepth: 1 });
  await call("sessions.patch", { key, spawnedBy: "agent:main:main" });
  await expect(call("sessions.patch", { key, spawnedBy: "other" })).rejects.toThrow(
    "spawnedBy cannot be changed once set",
  );
  await expect(call("sessions.patch", { key, spawnDepth: null })).rejects.toThrow(
    "spawnDepth cannot be cleared once set",
  );
  await store.close();
});

test("two patches at once cannot both have a label", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  const both = await Promise.allSettled(
    ["a", "b"].map((key) => call("sessions.patch", { key, label: "one" })),
  );
  expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  await call("sessions.patch", { key: both[0]?.status === "fulfilled" ? "a" : "b", label: "one" });
  await store.close();
});

test("a chat page may not change sessions; the control UI may, although it says it is one", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const call = methodsOf(store);
  const from = (id: string, mode: string): Caller => ({ ...owner, client: { id, mode } });
  for (const caller of [from("webchat", "webchat"), from("webchat-ui", "ui")]) {
    await expect(call("sessions.patch", { key: "s", label: "x" }, caller)).rejects.toThrow(
      "webchat clients cannot patch sessions; use chat.send for session-scoped updates",
    );
    await expect(call("sessions.delete", { key: "s" }, caller)).rejects.toThrow(
      "webchat clients cannot delete sessions; use chat.send for session-scoped updates",
    );
  }
  await call("sessions.patch", { key: "s", label: "x" }, from("openclaw-control-ui", "webchat"));
  expect(await call("sessions.delete", { key: "s" }, from("openclaw-control-ui", "webchat"))).toMatchObject({
    deleted: true,
  });
  await expect(
    call("sessions.patch", { key: "s" }, { ...owner, scopes: ["operator.write"] }),
  ).rejects.toThrow("missing scope: operator.admin");
  await store.close();
});

test("a reset tells who listens before and after, and gives up on a session that stays busy", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const seen: unknown[] = [];
  const call = methodsOf(store, {
    waitMs: 30,
    events: {
      beforeReset: async (key, { entry, reason }) => void seen.push(["before", key, entry?.label, reason]),
      onEnd: (key, before, after) => void seen.push(["end", key, before?.label, after?.label]),
    },
  });
  await store.patch("main", { label: "L" });
  await call("sessions.reset", { key: "main", reason: "new" });
  expect(seen).toEqual([
    ["before", "agent:main:main", "L", "new"],
    ["end", "agent:main:main", "L", "L"],
  ]);
  const held = await store.open("main", never);
  await expect(call("sessions.reset", { key: "main" })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
  });
  await held[Symbol.asyncDispose]();
  await call("sessions.reset", { key: "main" });
  await store.close();
});
