import { expect, test } from "vitest";
import type { HealthPorts } from "@rclaw/plugin-sdk/services/health";
import { type Client, connectClient, createDevice, type Frame } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

const rows = Array.from({ length: 30 }, (_, i) => ({
  key: i % 3 === 0 ? `agent:work:telegram:group:${i}` : `agent:main:direct:${i}`,
  sessionId: `s${i}`,
  updatedAt: 1_000_000 + ((i * 7) % 30),
  totalTokens: 64_000,
  thinkingLevel: "low",
  systemSent: true,
}));
const ports: Partial<HealthPorts> = { sessions: () => rows };

const events = (client: Client, name: string): Frame[] => client.frames.filter(({ event }) => event === name);

test("health has the recorded shape and lists the newest sessions first", async () => {
  await using gateway = await startGateway({ ports, now: () => 2_000_000 });
  const { client } = await connectClient(gateway.url, { token, scopes: [] });
  const { payload } = await client.request("health");
  expect(payload).toEqual({
    ok: true,
    ts: 2_000_000,
    durationMs: 0,
    channels: {},
    channelOrder: [],
    channelLabels: {},
    heartbeatSeconds: 0,
    defaultAgentId: "main",
    agents: [
      {
        agentId: "main",
        isDefault: true,
        heartbeat: { enabled: false, every: "disabled", everyMs: null },
        sessions: payload.sessions,
      },
    ],
    sessions: { path: "/state/agents/main/sessions.json", count: 20, recent: expect.any(Array) },
  });
  const newest = rows
    .filter(({ key }) => key.startsWith("agent:main:"))
    .sort((a, b) => b.updatedAt - a.updatedAt)
    .slice(0, 5);
  expect(payload.sessions.recent).toEqual(
    newest.map(({ key, updatedAt }) => ({ key, updatedAt, age: 2_000_000 - updatedAt })),
  );
  await client.close();
});

test("health is kept for a minute, unless a probe is asked for", async () => {
  let time = 1_000;
  const asked: boolean[] = [];
  const channels: HealthPorts["channels"] = async ({ probe }) => {
    asked.push(probe);
    return {
      channels: { telegram: { running: true } },
      channelOrder: ["telegram"],
      channelLabels: { telegram: "Telegram" },
    };
  };
  await using gateway = await startGateway({
    ports: { channels },
    now: () => time,
    greeted: () => undefined,
  });
  const { client } = await connectClient(gateway.url, { token });
  const ts = async (params?: unknown): Promise<number> => (await client.request("health", params)).payload.ts;
  expect(await ts()).toBe(1_000);
  time = 60_000;
  expect(await ts()).toBe(1_000);
  expect(await ts({ probe: false })).toBe(1_000);
  expect(asked).toEqual([false]);
  expect(await ts({ probe: true })).toBe(60_000);
  expect(asked).toEqual([false, true]);
  time = 130_000;
  const [a, b] = await Promise.all([ts(), ts()]);
  expect([a, b]).toEqual([130_000, 130_000]);
  expect(asked).toEqual([false, true, false]);
  const { payload } = await client.request("health");
  expect(payload).toMatchObject({
    channels: { telegram: { running: true } },
    channelOrder: ["telegram"],
    channelLabels: { telegram: "Telegram" },
  });
  await client.close();
});

test("what is degraded shows in health and status", async () => {
  await using gateway = await startGateway({
    ports: { notes: () => ({ store: { status: "degraded", reason: "disk full" } }) },
  });
  const { client } = await connectClient(gateway.url, { token });
  expect((await client.request("health")).payload.store).toEqual({ status: "degraded", reason: "disk full" });
  expect((await client.request("status")).payload.store).toEqual({ status: "degraded", reason: "disk full" });
  await client.close();
});

test("a probe that fails is an error and leaves the last health as it was", async () => {
  let broken = false;
  const channels: HealthPorts["channels"] = () =>
    broken
      ? Promise.reject(new Error("platform down"))
      : Promise.resolve({ channels: {}, channelOrder: [], channelLabels: {} });
  // The clock stands: the one that connected also has it looked at anew.
  const at = Date.now();
  await using gateway = await startGateway({ ports: { channels }, now: () => at });
  const { client } = await connectClient(gateway.url, { token });
  const { payload } = await client.request("health");
  broken = true;
  expect((await client.request("health", { probe: true })).error?.code).toBe("UNAVAILABLE");
  expect((await client.request("health")).payload).toEqual(payload);
  await client.close();
});

test("status has the recorded shape, and its details are for administrators", async () => {
  await using gateway = await startGateway({ ports, now: () => 2_000_000 });
  const admin = (await connectClient(gateway.url, { token })).client;
  const reader = (await connectClient(gateway.url, { token, scopes: ["operator.read"] })).client;
  const full = (await admin.request("status")).payload;
  expect(full).toMatchObject({
    heartbeat: {
      defaultAgentId: "main",
      agents: [{ agentId: "main", enabled: false, every: "disabled", everyMs: null }],
    },
    channelSummary: [],
    queuedSystemEvents: [],
    sessions: {
      paths: ["/state/agents/main/sessions.json"],
      count: 30,
      defaults: { model: "mock-1", contextTokens: 128_000 },
      byAgent: [{ agentId: "main", path: "/state/agents/main/sessions.json", count: 20 }],
    },
  });
  expect(full.sessions.recent).toHaveLength(10);
  expect(full.sessions.recent[0]).toMatchObject({
    sessionId: expect.any(String),
    percentUsed: 50,
    remainingTokens: 64_000,
    model: "mock-1",
  });
  const { agentId, sessionId, flags, totalTokensFresh, systemSent } = full.sessions.recent[0];
  expect({ agentId, flags, totalTokensFresh, systemSent }).toEqual({
    agentId: expect.stringMatching(/^(?:main|work)$/),
    flags: ["think:low", "system", `id:${sessionId}`],
    totalTokensFresh: true,
    systemSent: true,
  });
  expect(full.sessions.recent.map(({ kind }: { kind: string }) => kind)).toEqual(
    expect.arrayContaining(["direct", "group"]),
  );

  const plain = JSON.stringify((await reader.request("status")).payload);
  expect(JSON.parse(plain).sessions).toMatchObject({
    paths: [],
    count: 30,
    recent: [],
    byAgent: [{ path: "[redacted]", recent: [] }],
  });
  expect(plain).not.toMatch(/agent:main|\/state|mock-1/);
  await admin.close();
  await reader.close();
});

test("one health event follows a connect, with the versions it belongs to", async () => {
  await using gateway = await startGateway();
  const { client, answer } = await connectClient(gateway.url, { token });
  expect(answer.payload.snapshot.health).toEqual({});
  const event = await client.find((frame) => frame.event === "health");
  expect(event).toMatchObject({
    payload: { ok: true },
    stateVersion: { presence: 1, health: 2 },
    seq: expect.any(Number),
  });
  const again = await connectClient(gateway.url, { token });
  expect(again.answer.payload.snapshot).toMatchObject({ health: { ok: true }, stateVersion: { health: 2 } });
  await client.close();
  await again.client.close();
});

test("many connects in a row cause few health events", async () => {
  await using gateway = await startGateway();
  const started = performance.now();
  const clients = await Promise.all(Array.from({ length: 100 }, () => connectClient(gateway.url, { token })));
  const last = await connectClient(gateway.url, { token });
  await last.client.find(({ event }) => event === "health");
  // At most ten a second, however many connect; a busy machine takes longer over them.
  expect(gateway.health.version()).toBeLessThan(8 + (performance.now() - started) / 100);
  for (const { client } of [...clients, last]) client.ws.terminate();
});

test("presence lists the gateway first, then who is there, but not the command line", async () => {
  await using gateway = await startGateway();
  const device = createDevice();
  const cli = (await connectClient(gateway.url, { token })).client;
  const node = await connectClient(gateway.url, {
    token,
    role: "node",
    device,
    client: { id: "node-host", mode: "node", displayName: "Test Node", deviceFamily: "Linux" },
  });
  expect(node.answer.payload.snapshot.presence).toEqual([
    expect.objectContaining({
      mode: "gateway",
      reason: "self",
      text: expect.stringMatching(/^Gateway: .* · app 0\.0\.0-test · mode gateway · reason self$/),
    }),
    {
      host: "Test Node",
      version: "0.0.1",
      platform: "linux",
      deviceFamily: "Linux",
      mode: "node",
      deviceId: device.id,
      roles: ["node"],
      instanceId: device.id,
      reason: "connect",
      ts: expect.any(Number),
      text: "Node: Test Node · mode node",
    },
  ]);
  expect(node.answer.payload.snapshot.stateVersion.presence).toBe(2);

  await node.client.close();
  const event = await cli.find((frame) => frame.event === "presence");
  expect(event.payload.presence[1]).toMatchObject({ host: "Test Node", reason: "disconnect" });
  expect(event.stateVersion?.presence).toBe(3);
  expect((await cli.request("system-presence")).payload).toHaveLength(2);
  await cli.close();
});

test("a device with two sockets is there until both are gone, and forgotten five minutes later", async () => {
  let time = 1_000;
  await using gateway = await startGateway({ now: () => time });
  const app = { id: "openclaw-macos", mode: "ui", instanceId: "mac-1" };
  const watcher = (await connectClient(gateway.url, { token })).client;
  const first = (await connectClient(gateway.url, { token, client: app })).client;
  const second = (await connectClient(gateway.url, { token, client: app })).client;
  const row = async () =>
    (await watcher.request("system-presence")).payload.find((entry: { mode: string }) => entry.mode === "ui");
  await first.close();
  await expect.poll(() => gateway.gateway.connections()).toBe(2);
  expect(await row()).toMatchObject({ reason: "connect", instanceId: "mac-1" });
  time += 400_000;
  expect(await row()).toMatchObject({ reason: "connect" });
  await second.close();
  await expect.poll(() => gateway.gateway.connections()).toBe(1);
  expect(await row()).toMatchObject({ reason: "disconnect" });
  time += 300_001;
  expect(await row()).toBeUndefined();
  await watcher.close();
});

test("an app says how its machine is, and the assistant is told of what happened", async () => {
  await using gateway = await startGateway();
  const device = createDevice();
  const watcher = (await connectClient(gateway.url, { token })).client;
  const client = { id: "openclaw-macos", mode: "ui", displayName: "Mac" };
  const mac = (await connectClient(gateway.url, { token, device, client })).client;
  const rows = async () => (await watcher.request("system-presence")).payload.slice(1);

  expect((await watcher.request("system-event", {})).error).toEqual({
    code: "INVALID_REQUEST",
    message: "text required",
  });
  expect((await watcher.request("system-event", { text: "Node: test" })).payload).toEqual({ ok: true });
  const event = await watcher.find((frame) => frame.event === "presence");
  expect(event.payload.presence[1]).toEqual({ text: "Node: test", ts: expect.any(Number) });
  expect(gateway.woken).toEqual([]);

  const beacon = { deviceId: device.id, lastInputSeconds: 7, ip: "192.0.2.7", tags: ["x"], roles: "no list" };
  await mac.request("system-event", { text: "Node: Mac (192.0.2.7) · mode ui", ...beacon });
  expect((await rows())[0]).toMatchObject({
    host: "Mac",
    ip: "192.0.2.7",
    lastInputSeconds: 7,
    roles: ["operator"],
    text: "Node: Mac (192.0.2.7) · mode ui",
  });
  const line = "Node: old (192.0.2.8) · app 1.2 · last input 42s ago · mode local · reason periodic";
  await mac.request("system-event", { text: line });
  expect((await rows())[0]).toMatchObject({
    host: "old",
    version: "1.2",
    lastInputSeconds: 42,
    reason: "periodic",
  });

  await mac.request("system-event", { text: " the door bell rang " });
  await mac.request("system-event", { text: "fire", wake: true, sessionKey: "agent:main:ops" });
  expect(gateway.woken).toEqual([
    { mode: "next-heartbeat", text: "the door bell rang" },
    { mode: "now", text: "fire", sessionKey: "agent:main:ops" },
  ]);
  // What is for the assistant is not shown to everybody who is connected.
  expect(JSON.stringify(await rows())).not.toContain("bell");
  for (const socket of [watcher, mac]) socket.ws.terminate();
});

test("presence holds two hundred at most and tells of many departures at once", async () => {
  await using gateway = await startGateway({ greeted: () => undefined });
  const watcher = (await connectClient(gateway.url, { token })).client;
  const clients = await Promise.all(
    Array.from({ length: 220 }, (_, i) =>
      connectClient(gateway.url, { token, client: { id: "test", mode: "test", instanceId: `i${i}` } }),
    ),
  );
  expect((await watcher.request("system-presence")).payload).toHaveLength(201);
  await Promise.all(clients.map(({ client }) => client.close()));
  await expect.poll(() => gateway.gateway.connections()).toBe(1);
  await watcher.find(
    ({ event, payload }) =>
      event === "presence" &&
      payload.presence.slice(1).every((row: { reason: string }) => row.reason === "disconnect"),
  );
  expect(events(watcher, "presence").length).toBeLessThan(10);
  await watcher.close();
});
