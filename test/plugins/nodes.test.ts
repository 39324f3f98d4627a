import { createTestContext } from "@rclaw/plugin-sdk/testing";
import type { ConnectedClient } from "@rclaw/plugin-sdk/gateway";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import nodes from "../../plugins/services/nodes/index.ts";
import { allowedCommands, type NodesConfig } from "../../plugins/services/nodes/policy.ts";

const config: NodesConfig = { allowCommands: [], denyCommands: [], browser: { mode: "auto" } };

interface FakeNode {
  readonly client: ConnectedClient;
  leave(): void;
}

/** A node as the gateway shows it to plugins. */
function nodeNamed(
  nodeId: string,
  { commands = ["system.which"], caps = [] as string[], platform = "linux", connectedAt = 1 } = {},
): FakeNode {
  const ended = new AbortController();
  return {
    leave: () => ended.abort(),
    client: {
      caller: {
        kind: "client",
        principal: `client:${nodeId}`,
        role: "node",
        scopes: [],
        connId: `conn-${nodeId}-${connectedAt}`,
        caps,
        deviceId: nodeId,
        isOwner: false,
      },
      connectedAt,
      node: { client: { id: "node-host", version: "1", platform, mode: "node" }, caps, commands },
      ended: ended.signal,
    },
  };
}

interface SetUp {
  readonly own?: Partial<NodesConfig>;
  readonly methods?: Readonly<Record<string, (params: unknown) => unknown>>;
}

async function gatewayWith(connected: readonly FakeNode[], { own, methods = {} }: SetUp = {}) {
  const rclaw = createTestContext<NodesConfig>({
    id: "nodes",
    config: { ...config, ...own },
    clients: connected.map(({ client }) => client),
    methods: { "device.pair.list": () => ({ pending: [], paired: [] }), ...methods },
  });
  await rclaw.activate(nodes);
  const of = ({ client }: FakeNode) => ({ caller: client.caller });
  const asked = () => rclaw.waitFor(({ event }) => event === "node.invoke.request");
  return { rclaw, of, asked };
}

describe("what a node may be asked for", () => {
  const all = (
    platform: string,
    own: Partial<NodesConfig> = {},
    deviceFamily?: string,
  ): readonly string[] => [
    ...allowedCommands({ platform, deviceFamily, declared: [] }, { ...config, ...own }),
  ];

  test("depends on its platform", () => {
    expect(all("linux").toSorted()).toEqual([
      "browser.proxy",
      "system.notify",
      "system.run",
      "system.run.prepare",
      "system.which",
    ]);
    expect(all("win32")).toEqual(all("linux"));
    expect(all("darwin 25.1")).toEqual(all("macOS 26"));
    expect(all("iOS 26.1")).toContain("canvas.present");
    expect(all("iOS 26.1")).not.toContain("system.run");
    expect(all("", {}, "iPad")).toEqual(all("ios"));
    expect(all("android 16")).toContain("notifications.list");
  });

  test.each(["ios", "android", "macos", "linux", "windows", "plan9"])(
    "on %s is nothing that takes pictures, records, sends or changes, unless somebody allows it",
    (platform) => {
      const dangerous = ["camera.snap", "camera.clip", "screen.record", "sms.send", "contacts.add"];
      const more = ["calendar.add", "reminders.add"];
      for (const command of [...dangerous, ...more]) {
        expect(all(platform)).not.toContain(command);
        expect(all(platform, { allowCommands: [` ${command} `] })).toContain(command);
        expect(all(platform, { allowCommands: [command], denyCommands: [command] })).not.toContain(command);
      }
    },
  );
});

describe("a node that is asked", () => {
  test("is the connection that came last, when there are two of the same device", async () => {
    const [old, fresh] = [nodeNamed("n", { connectedAt: 1 }), nodeNamed("n", { connectedAt: 2 })];
    const { rclaw, of, asked } = await gatewayWith([fresh, old]);
    await using _ = rclaw;
    const answer = rclaw.call("node.invoke", { nodeId: "n", command: "system.which", idempotencyKey: "1" });
    const { connId, payload } = await asked();
    expect(connId).toBe("conn-n-2");
    const result = { id: payload["id"], nodeId: "n", ok: true, payloadJSON: "not json" };
    expect(await rclaw.call("node.invoke.result", result, of(old))).toEqual({ ok: true, ignored: true });
    expect(await rclaw.call("node.invoke.result", result, of(fresh))).toEqual({ ok: true });
    expect(await answer).toEqual({
      ok: true,
      nodeId: "n",
      command: "system.which",
      payload: { payloadJSON: "not json" },
      payloadJSON: "not json",
    });
  });

  test("is let go of when nobody waits any more", async () => {
    const node = nodeNamed("n");
    const { rclaw, of, asked } = await gatewayWith([node]);
    await using _ = rclaw;
    const gone = new AbortController();
    const answer = rclaw.call(
      "node.invoke",
      { nodeId: "n", command: "system.which", idempotencyKey: "1" },
      { signal: gone.signal },
    );
    const { payload } = await asked();
    gone.abort();
    await expect(answer).rejects.toMatchObject({ code: "ABORTED" });
    const result = { id: payload["id"], nodeId: "n", ok: true };
    expect(await rclaw.call("node.invoke.result", result, of(node))).toEqual({ ok: true, ignored: true });
  });

  test("takes so many commands at once, and no endless params", async () => {
    const { rclaw } = await gatewayWith([nodeNamed("n")]);
    const invoke = (params?: unknown): Promise<unknown> =>
      rclaw.call(
        "node.invoke",
        { nodeId: "n", command: "system.which", params, idempotencyKey: "1" },
        { signal: new AbortController().signal },
      );
    const waiting = Array.from({ length: 64 }, () => invoke());
    await expect(invoke()).rejects.toMatchObject({ code: "RATE_LIMITED", retryable: true });
    await expect(invoke("x".repeat(9_000_000))).rejects.toMatchObject({ code: "TOO_LARGE" });
    // The plugin's end is the end of what waits.
    const ends = Promise.allSettled(waiting);
    await rclaw[Symbol.asyncDispose]();
    expect(new Set((await ends).map(({ status }) => status))).toEqual(new Set(["rejected"]));
  });

  test("an iPhone in a pocket gets what it could not do once somebody looks at it", async () => {
    const node = nodeNamed("n", { platform: "iOS 26", commands: ["canvas.present"] });
    const { rclaw, of, asked } = await gatewayWith([node]);
    await using _ = rclaw;
    const answer = rclaw.call("node.invoke", {
      nodeId: "n",
      command: "canvas.present",
      params: { url: "x" },
      idempotencyKey: "later",
    });
    const error = { code: "NODE_BACKGROUND_UNAVAILABLE", message: "in the background" };
    const { payload } = await asked();
    void rclaw.call("node.invoke.result", { id: payload["id"], nodeId: "n", ok: false, error }, of(node));
    await expect(answer).rejects.toMatchObject({
      message: "node command queued until iOS returns to foreground",
      details: { code: "QUEUED_UNTIL_FOREGROUND", nodeError: error },
    });
    const pulled = (await rclaw.call("node.pending.pull", {}, of(node))) as { actions: { id: string }[] };
    expect(pulled).toEqual({
      nodeId: "n",
      actions: [
        {
          id: expect.any(String),
          command: "canvas.present",
          paramsJSON: '{"url":"x"}',
          enqueuedAtMs: expect.any(Number),
        },
      ],
    });
    const ids = pulled.actions.map(({ id }) => id);
    expect(await rclaw.call("node.pending.ack", { ids }, of(node))).toEqual({
      nodeId: "n",
      ackedIds: ids,
      remainingCount: 0,
    });
  });
});

describe("a browser on a node", () => {
  const browser = (nodeId: string) => nodeNamed(nodeId, { caps: ["browser"], commands: ["browser.proxy"] });
  const request = { method: "get", path: "/tabs", query: { profile: "work" } };

  test("answers for the gateway", async () => {
    const node = browser("n");
    const { rclaw, of, asked } = await gatewayWith([node, nodeNamed("other")]);
    await using _ = rclaw;
    const answer = rclaw.call("browser.request", request);
    const { payload } = await asked();
    expect(JSON.parse(String(payload["paramsJSON"]))).toEqual({ ...request, method: "GET", profile: "work" });
    const payloadJSON = JSON.stringify({ result: { tabs: [] } });
    await rclaw.call(
      "node.invoke.result",
      { id: payload["id"], nodeId: "n", ok: true, payloadJSON },
      of(node),
    );
    expect(await answer).toEqual({ tabs: [] });
  });

  test.each([
    [[browser("aaaaaaaa"), browser("bbbbbbbb")], {}, "browser control is disabled"],
    [[browser("aaaaaaaa")], { mode: "off" }, "browser control is disabled"],
    [[browser("aaaaaaaa")], { mode: "manual" }, "browser control is disabled"],
    [[], { node: "laptop" }, "No connected browser-capable nodes."],
    [[browser("aaaaaaaa")], { node: "laptop" }, "Configured browser node not connected: laptop"],
  ] as const)("is not guessed: %#", async (connected, own, message) => {
    const { rclaw } = await gatewayWith(connected, { own: { browser: { mode: "auto", ...own } } });
    await using _ = rclaw;
    await expect(rclaw.call("browser.request", request)).rejects.toMatchObject({ message });
  });

  test.each([
    ["POST", "/profiles/create"],
    ["post", "//reset-profile/"],
    ["DELETE", "profiles/work"],
  ])("has profiles of its own, which %s %s would change", async (method, path) => {
    const { rclaw } = await gatewayWith([browser("n")]);
    await using _ = rclaw;
    await expect(rclaw.call("browser.request", { method, path })).rejects.toMatchObject({
      message: "browser.request cannot mutate persistent browser profiles over a node proxy",
    });
    await expect(
      rclaw.call("node.invoke", {
        nodeId: "n",
        command: "browser.proxy",
        params: { method, path },
        idempotencyKey: "1",
      }),
    ).rejects.toMatchObject({
      message: "node.invoke cannot mutate persistent browser profiles via browser.proxy",
    });
    expect(rclaw.events).toEqual([]);
  });

  test("wants a method and a path", async () => {
    const { rclaw } = await gatewayWith([]);
    await using _ = rclaw;
    for (const [params, message] of [
      [{}, "method and path are required"],
      [{ method: "PUT", path: "/" }, "method must be GET, POST, or DELETE"],
    ] as const)
      await expect(rclaw.call("browser.request", params)).rejects.toMatchObject({
        code: "INVALID_REQUEST",
        message,
      });
  });
});

describe("the book of nodes without keys", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["Date"] }));
  afterEach(() => vi.useRealTimers());

  test("keeps a request until somebody decides, and tells the token once", async () => {
    const { rclaw } = await gatewayWith([]);
    await using _ = rclaw;
    const asked = { nodeId: "old", displayName: "Old node", platform: "ios" };
    const first = (await rclaw.call("node.pair.request", asked)) as { request: { requestId: string } };
    const { requestId } = first.request;
    expect(first).toEqual({
      status: "pending",
      created: true,
      request: { ...asked, requestId, isRepair: false, ts: Date.now() },
    });
    expect(await rclaw.call("node.pair.request", asked)).toEqual({ ...first, created: false });
    expect(await rclaw.call("node.pair.list")).toEqual({ pending: [first.request], paired: [] });
    const { node } = (await rclaw.call("node.pair.approve", { requestId })) as {
      node: { token: string; nodeId: string };
    };
    expect(node.token).toHaveLength(43);
    const listed = (await rclaw.call("node.pair.list")) as { paired: object[] };
    expect(listed).toEqual({
      pending: [],
      paired: [{ ...asked, createdAtMs: Date.now(), approvedAtMs: Date.now() }],
    });
    const verify = (token: string): Promise<unknown> =>
      rclaw.call("node.pair.verify", { nodeId: "old", token });
    expect(await verify(node.token)).toEqual({ ok: true, node });
    expect(await verify(`${node.token}x`)).toEqual({ ok: false });
    expect(await rclaw.call("node.rename", { nodeId: "old", displayName: " New " })).toEqual({
      nodeId: "old",
      displayName: "New",
    });
    expect(rclaw.events.map(({ event, payload }) => [event, payload["decision"]])).toEqual([
      ["node.pair.requested", undefined],
      ["node.pair.resolved", "approved"],
    ]);
    expect(await rclaw.call("node.pair.remove", { nodeId: "old" })).toEqual({ nodeId: "old" });
    expect(await verify(node.token)).toEqual({ ok: false });
    for (const [method, params, message] of [
      ["node.pair.approve", { requestId }, "unknown requestId"],
      ["node.pair.reject", { requestId }, "unknown requestId"],
      ["node.pair.remove", { nodeId: "old" }, "unknown nodeId"],
      ["node.rename", { nodeId: "__proto__", displayName: "x" }, "unknown nodeId"],
    ] as const)
      await expect(rclaw.call(method, params)).rejects.toMatchObject({ code: "INVALID_REQUEST", message });
  });

  test("forgets a request after five minutes, and takes no more than it can show", async () => {
    const { rclaw } = await gatewayWith([]);
    await using _ = rclaw;
    for (let i = 0; i < 64; i++) await rclaw.call("node.pair.request", { nodeId: `n${i}` });
    await expect(rclaw.call("node.pair.request", { nodeId: "one more" })).rejects.toMatchObject({
      code: "RATE_LIMITED",
    });
    vi.setSystemTime(Date.now() + 300_001);
    expect(await rclaw.call("node.pair.list")).toEqual({ pending: [], paired: [] });
    expect(await rclaw.call("node.pair.request", { nodeId: "one more" })).toMatchObject({ created: true });
  });
});

describe("what a node tells", () => {
  test("stands in the session it names, once, and nothing is made of nonsense", async () => {
    const woken: unknown[] = [];
    const node = nodeNamed("n");
    const { rclaw, of } = await gatewayWith([node], { methods: { wake: (params) => woken.push(params) } });
    await using _ = rclaw;
    const tell = (event: string, payload: unknown): Promise<unknown> =>
      rclaw.call("node.event", { event, payloadJSON: JSON.stringify(payload) }, of(node));
    const finished = { sessionKey: "main", runId: "r", exitCode: 1, output: "a  b\n".repeat(100) };
    for (const payload of [finished, finished, { ...finished, runId: "quiet", exitCode: 0, output: "" }])
      expect(await tell("exec.finished", payload)).toEqual({ ok: true });
    await tell("exec.denied", { runId: "d", reason: "user-denied", command: "rm" });
    for (const payload of [null, 1, "x", [], {}]) {
      for (const event of [
        "exec.started.",
        "voice.transcript",
        "agent.request",
        "chat.subscribe",
        "__proto__",
      ])
        expect(await tell(event, payload)).toEqual({ ok: true });
    }
    expect(woken).toEqual([
      {
        mode: "next-heartbeat",
        sessionKey: "agent:main:main",
        text: expect.stringMatching(/^Exec finished \(node=n id=r, code 1\)\n(?:a b ){44}a b…$/),
      },
      {
        mode: "next-heartbeat",
        sessionKey: "agent:main:node-n",
        text: "Exec denied (node=n id=d, user-denied): rm",
      },
    ]);
  });

  test("its copies of a conversation end with its connection", async () => {
    const node = nodeNamed("n");
    const { rclaw, of } = await gatewayWith([node]);
    await using _ = rclaw;
    await rclaw.call("node.event", { event: "chat.subscribe", payload: { sessionKey: "main" } }, of(node));
    const said = { sessionKey: "agent:main:main", runId: "1" };
    rclaw.tell("chat", said);
    rclaw.tell("chat", { ...said, sessionKey: "agent:main:other" });
    rclaw.tell("presence", said);
    expect(rclaw.events).toEqual([{ event: "chat", payload: said, connId: "conn-n-1" }]);
    node.leave();
    rclaw.tell("chat", said);
    expect(rclaw.events).toHaveLength(1);
  });

  test("work waits for it in the order of its weight, and is given once", async () => {
    const node = nodeNamed("n");
    const paired = [{ deviceId: "n", role: "node", roles: ["node"] }];
    const { rclaw, of } = await gatewayWith([node], { methods: { "device.pair.list": () => ({ paired }) } });
    await using _ = rclaw;
    const enqueue = (type: string, priority: string): Promise<unknown> =>
      rclaw.call("node.pending.enqueue", { nodeId: "n", type, priority });
    expect(await enqueue("status.request", "normal")).toEqual({
      nodeId: "n",
      revision: 1,
      queued: {
        id: expect.any(String),
        type: "status.request",
        priority: "normal",
        createdAtMs: expect.any(Number),
        expiresAtMs: expect.any(Number),
      },
      wakeTriggered: false,
    });
    await enqueue("location.request", "high");
    const drain = (): Promise<unknown> => rclaw.call("node.pending.drain", {}, of(node));
    expect(await drain()).toMatchObject({
      items: [{ type: "location.request" }, { type: "status.request" }],
      hasMore: false,
    });
    expect(await drain()).toMatchObject({ items: [{ id: "baseline-status", expiresAtMs: null }] });
    await expect(
      rclaw.call("node.pending.enqueue", { nodeId: "stranger", type: "status.request" }),
    ).rejects.toMatchObject({ details: { code: "PAIRING_CHANGED" } });
  });
});
