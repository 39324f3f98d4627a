import { expect, test } from "vitest";
import { type Client, connectClient, createDevice, type Frame } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

/** Without the health event that follows a connect: it may not be dropped either. */
const quiet = { greeted: () => undefined };

const events = (client: Client, name: string): Frame[] => client.frames.filter(({ event }) => event === name);

test("every client gets the same events in the same order with numbers of its own that have no gaps", async () => {
  await using gateway = await startGateway();
  const clients: Client[] = [];
  for (let i = 0; i < 20; i++) {
    clients.push(
      (await connectClient(gateway.url, { token, scopes: i % 2 ? ["operator.read"] : ["operator.admin"] }))
        .client,
    );
    gateway.gateway.broadcast("agent", { n: i });
  }
  for (let i = 0; i < 50; i++) {
    gateway.gateway.broadcast("agent", { n: 100 + i, text: "ünïcode ✓" });
    gateway.gateway.broadcast("exec.approval.requested", { n: i });
  }
  gateway.gateway.broadcast("agent", { n: "last" });
  for (const [i, client] of clients.entries()) {
    await client.find(({ payload }) => payload?.n === "last");
    const numbers = client.frames.filter(({ seq }) => seq !== undefined).map(({ seq }) => seq as number);
    expect(numbers).toEqual(numbers.map((_, n) => (numbers[0] ?? 0) + n));
    expect(events(client, "agent").map(({ payload }) => payload.n)).toEqual([
      ...Array.from({ length: 20 - i }, (_, n) => i + n),
      ...Array.from({ length: 50 }, (_, n) => 100 + n),
      "last",
    ]);
    expect(events(client, "exec.approval.requested")).toHaveLength(i % 2 ? 0 : 50);
    client.ws.terminate();
  }
});

test.each([
  ["exec.approval.requested", ["operator.approvals"], true],
  ["exec.approval.resolved", ["operator.read", "operator.write", "operator.pairing"], false],
  ["device.pair.requested", ["operator.pairing"], true],
  ["device.pair.resolved", ["operator.approvals"], false],
  ["node.pair.requested", ["operator.admin"], true],
  ["node.pair.resolved", [], false],
  ["agent", [], true],
] as const)("%s to a client with %j: %s", async (event, scopes, isSeen) => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token, scopes });
  const node = await connectClient(gateway.url, {
    token,
    role: "node",
    client: { id: "node-host", mode: "node" },
    device: createDevice(),
  });
  gateway.gateway.broadcast(event, { n: 1 });
  gateway.gateway.broadcast("tick", { ts: 1 });
  await client.find((frame) => frame.event === "tick");
  await node.client.find((frame) => frame.event === "tick");
  expect(events(client, event)).toHaveLength(isSeen ? 1 : 0);
  expect(events(node.client, event)).toHaveLength(event === "agent" ? 1 : 0);
  await client.close();
  await node.client.close();
});

test("an event may be kept to those with a scope", async () => {
  await using gateway = await startGateway();
  const reader = (await connectClient(gateway.url, { token, scopes: ["operator.write"] })).client;
  const nobody = (await connectClient(gateway.url, { token, scopes: [] })).client;
  gateway.gateway.broadcast("chat", { secret: 1 }, { scope: "operator.read" });
  gateway.gateway.broadcast("tick", { ts: 1 });
  await nobody.find(({ event }) => event === "tick");
  await reader.find(({ event }) => event === "chat");
  expect(events(nobody, "chat")).toEqual([]);
  await reader.close();
  await nobody.close();
});

test("a frame for one client has no number and says whether it is still there", async () => {
  await using gateway = await startGateway();
  const { client, answer } = await connectClient(gateway.url, { token });
  expect(gateway.gateway.send(answer.payload.server.connId, "agent", { only: "you" })).toBe(true);
  const frame = await client.find(({ event }) => event === "agent");
  expect(frame).toEqual({ type: "event", event: "agent", payload: { only: "you" } });
  await client.close();
  expect(gateway.gateway.send(answer.payload.server.connId, "agent", {})).toBe(false);
});

test("payloads of every length arrive whole", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  for (const size of [0, 40, 90, 120, 65_400, 65_536, 70_000, 1_000_000]) {
    gateway.gateway.broadcast("agent", { text: "é".repeat(size) });
    const frame = await client.find(({ payload }) => payload?.text?.length === size);
    expect(frame.payload.text).toBe("é".repeat(size));
  }
  await client.close();
});

test("ticks come by themselves, and a socket whose other end is silent is gone after two", async () => {
  await using gateway = await startGateway({ limits: { tickMs: 40 } });
  const { client: alive, answer } = await connectClient(gateway.url, { token });
  expect(answer.payload.policy.tickIntervalMs).toBe(40);
  const { client: halfOpen } = await connectClient(gateway.url, { token });
  // Half open: nothing is read any more, so no ping is answered, and no FIN is sent either.
  halfOpen.ws.pause();
  expect(gateway.gateway.connections()).toBe(2);
  const tick = await alive.find(({ event }) => event === "tick");
  expect(tick.payload.ts).toBeGreaterThan(Date.now() - 10_000);
  expect(tick.seq).toBeTypeOf("number");
  await expect.poll(() => gateway.gateway.connections()).toBe(1);
  const ticks = events(alive, "tick").length;
  await expect.poll(() => events(alive, "tick").length).toBeGreaterThan(ticks + 3);
  expect(gateway.gateway.connections()).toBe(1);
  halfOpen.ws.terminate();
  await alive.close();
});

test("a slow consumer misses what may be dropped and is closed by what may not", async () => {
  await using gateway = await startGateway({ limits: { maxBufferedBytes: 2_000_000 }, ...quiet });
  const { client: slow } = await connectClient(gateway.url, { token });
  const { client: fast } = await connectClient(gateway.url, { token });
  slow.ws.pause();
  const chunk = "x".repeat(400_000);
  // The kernel's own buffers take some megabytes before anything waits in ours.
  for (let i = 0; i < 60; i++) {
    gateway.gateway.broadcast("chat", { i, chunk }, { dropIfSlow: true });
    await fast.find(({ payload }) => payload?.i === i);
  }
  expect(gateway.gateway.connections()).toBe(2);
  gateway.gateway.broadcast("agent", { n: "must arrive" });
  await fast.find(({ payload }) => payload?.n === "must arrive");
  expect(gateway.gateway.connections()).toBe(1);

  slow.ws.resume();
  expect(await slow.closed).toEqual({ code: 1008, reason: "slow consumer" });
  const seen = events(slow, "chat").map(({ payload }) => payload.i);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.length).toBeLessThan(60);
  expect(seen).toEqual(seen.map((_, i) => i));
  expect(events(fast, "chat")).toHaveLength(60);
  await fast.close();
});

test("what was dropped leaves a gap in the numbers, so that the client knows", async () => {
  await using gateway = await startGateway({ limits: { maxBufferedBytes: 100_000 }, ...quiet });
  const { client } = await connectClient(gateway.url, { token });
  client.ws.pause();
  for (let i = 0; i < 80; i++)
    gateway.gateway.broadcast("chat", { i, chunk: "x".repeat(400_000) }, { dropIfSlow: true });
  client.ws.resume();
  const isThrough = (): boolean => {
    gateway.gateway.broadcast("tick", { ts: 0 }, { dropIfSlow: true });
    return events(client, "tick").length > 0;
  };
  await expect.poll(isThrough).toBe(true);
  const [tick] = events(client, "tick");
  const chats = events(client, "chat");
  expect((tick?.seq ?? 0) - (chats.at(-1)?.seq ?? 0)).toBeGreaterThan(1);
  await client.close();
});
