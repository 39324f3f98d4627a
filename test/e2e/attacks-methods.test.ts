import { describe, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { ask, startProduct, tempState, token } from "../support/product.ts";
import { type Client, connectClient, createDevice, type Frame } from "../support/ws-client.ts";

/** Rows of the attack table that concern who may call and see what, against the whole product. */

const product = freshForAll();

describe("SEC-026 SEC-028: who may call what", () => {
  test("who names no scopes, or names none that exist, gets none", async () => {
    for (const asked of [[], ["admin"], ["operator.*"], ["OPERATOR.ADMIN"], ["operator.admin "]]) {
      const { client, answer } = await connectClient(product.url, { token, scopes: asked });
      expect(answer.payload.auth.scopes).toEqual([]);
      expect((await client.request("status")).error?.message).toBe("missing scope: operator.read");
      await client.close();
    }
  });

  test.each(["openclaw-control-ui", "cli", "gateway-client"])(
    "a node is a node, also when it calls itself %s",
    async (id) => {
      const { methods } = (await ask(await product.connect(), "methods.list")) as {
        methods: readonly { name: string; role: string }[];
      };
      for (const { name: method } of methods.filter(({ role }) => role === "operator")) {
        const node = await product.connect({
          role: "node",
          scopes: ["operator.admin"],
          client: { id, mode: "node" },
          device: createDevice(),
          // A page must say where it is from, and only a Control UI may be paired unasked as one.
          ...(id === "openclaw-control-ui" && { headers: { origin: "http://localhost" } }),
        });
        expect((await node.request(method)).error?.message).toBe("unauthorized role: node");
        await node.close();
      }
    },
  );
});

test("SEC-035: where a session comes from and where it works is not the caller's to say", async () => {
  const client = await product.connect();
  for (const member of [
    "workspaceDir",
    "workspace",
    "cwd",
    "spawnDepth",
    "isOwner",
    "senderIsOwner",
    "scopes",
    "principal",
  ]) {
    const { error } = await client.request("agent", {
      message: "x",
      idempotencyKey: `035-${member}`,
      [member]: "/etc",
    });
    expect(error?.message).toBe(`invalid agent params: at root: unexpected property '${member}'`);
  }
  // Known to the protocol, and without effect from outside.
  await ask(client, "agent", {
    message: "hi",
    sessionKey: "agent:main:orphan",
    spawnedBy: "agent:main:main",
    idempotencyKey: "035",
  });
  await ask(client, "agent.wait", { runId: "035" });
  const { sessions } = await ask(client, "sessions.list", { spawnedBy: "agent:main:main" });
  expect(sessions).toEqual([]);
  expect(
    (await client.request("sessions.patch", { key: "agent:main:orphan", spawnedBy: "agent:main:main" })).error
      ?.message,
  ).toMatch(/only supported for subagent/);
  await client.close();
});

test("SEC-036: a rotated token counts at once, and who came in with the old one is shown out", async () => {
  await using folder = await tempState();
  const [old, fresh] = ["old-token-000000000000000000", "new-token-000000000000000000"];
  await using other = await startProduct({
    stateDir: folder.dir,
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "" },
    config: { gateway: { auth: { token: old } } },
  });
  const bystander = await other.connect({ token: old });
  const admin = await other.connect({ token: old });
  const { hash } = await ask(admin, "config.get");
  const started = performance.now();
  const answer = await admin.request("config.patch", {
    raw: `{ gateway: { auth: { token: "${fresh}" } } }`,
    baseHash: hash,
  });
  expect(answer.ok).toBe(true);
  for (const client of [bystander, admin])
    expect(await client.closed).toEqual({ code: 1008, reason: "authentication changed" });
  expect(performance.now() - started).toBeLessThan(1_000);
  expect((await connectClient(other.url, { token: old })).answer.error?.details).toMatchObject({
    code: "AUTH_TOKEN_MISMATCH",
  });
  const next = await other.connect({ token: fresh });
  await ask(next, "config.get");
});

test("SEC-037: who may not read sees nothing of conversations", async () => {
  const nobody = await product.connect({ scopes: [] });
  const approver = await product.connect({ scopes: ["operator.approvals", "operator.pairing"] });
  const node = await product.connect({
    role: "node",
    client: { id: "node-host", mode: "node" },
    device: createDevice(),
  });
  const reader = await product.connect({ scopes: ["operator.read"] });
  const writer = await product.connect({ scopes: ["operator.write"] });
  await ask(writer, "chat.send", {
    sessionKey: "agent:main:private",
    message: "my secret",
    idempotencyKey: "037",
  });
  await reader.find(
    ({ event, payload }) => event === "chat" && payload.runId === "037" && payload.state === "final",
  );
  for (const client of [nobody, approver, node]) {
    // An answer after the run's end: what was to come would have come.
    await ask(client, "health");
    expect(client.frames.filter(({ event }) => event === "chat" || event === "agent")).toEqual([]);
  }
  await Promise.all([nobody, approver, node, reader, writer].map((client) => client.close()));
});

test("SEC-018: what fits into a frame and into nothing else is refused before it is accepted", async () => {
  const client = await product.connect();
  const send = { sessionKey: "agent:main:large", message: "hi", idempotencyKey: "large" };
  const told = async (method: string, params: object): Promise<string | undefined> =>
    (await client.request(method, params)).error?.message;
  const key = "k".repeat(1_000_000);
  expect(await told("chat.send", { ...send, idempotencyKey: key })).toBe(
    "invalid chat.send params: at /idempotencyKey: must NOT have more than 1024 characters",
  );
  expect(await told("agent.wait", { runId: key })).toMatch(/^invalid agent.wait params: at \/runId/);
  expect(await told("chat.send", { ...send, message: "System: x\n".repeat(2_000_000) })).toMatch(
    /^invalid chat.send params: message is longer than/,
  );
  const extras = Object.fromEntries(Array.from({ length: 500_000 }, (_, i) => [`extra ${i}`, 1]));
  const { length } = (await told("chat.send", { ...send, ...extras })) ?? "";
  expect(length).toBeGreaterThan(0);
  expect(length).toBeLessThan(2_100);
  // Nobody waited for any of that.
  expect((await ask(client, "sessions.list", { search: "large" })).sessions).toEqual([]);
  await client.close();
});

test("SEC-042: who writes the configuration in a loop is told to wait", async () => {
  const client = await product.connect();
  const { hash } = await ask(client, "config.get");
  for (let i = 0; i < 30; i++)
    expect((await client.request("config.patch", { raw: "{}", baseHash: hash })).ok).toBe(true);
  const { error } = await client.request("config.patch", { raw: "{}", baseHash: hash });
  expect(error).toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringMatching(/^rate limit exceeded for config.patch; retry after \d+s$/),
    retryable: true,
    details: { method: "config.patch", limit: "30 per 60s" },
  });
  expect(error?.retryAfterMs).toBeGreaterThan(0);
  // Who writes again and again over what somebody else has written is stopped sooner, as in OpenClaw.
  const stubborn = await product.connect({ device: createDevice() });
  for (let i = 0; i < 3; i++)
    expect((await stubborn.request("config.patch", { raw: "{}", baseHash: "old" })).error?.message).toMatch(
      /^config changed since last load/,
    );
  expect((await stubborn.request("config.patch", { raw: "{}", baseHash: hash })).error).toMatchObject({
    message: expect.stringMatching(/^rate limit exceeded for config.patch/),
    details: { limit: "3 per 60s" },
  });
  await stubborn.close();
  // Another device has writes of its own.
  const other = await product.connect({ device: createDevice() });
  expect((await other.request("config.patch", { raw: "{}", baseHash: hash })).ok).toBe(true);
  await Promise.all([client.close(), other.close()]);
});

test("SEC-043: an idempotency key belongs to who used it first, with what it was used for", async () => {
  const [first, second] = [
    await product.connect({ device: createDevice() }),
    await product.connect({ device: createDevice() }),
  ];
  const send = (client: Client, message: string, sessionKey = "agent:main:idem"): Promise<Frame> =>
    client.request("chat.send", { sessionKey, message, idempotencyKey: "043" });
  expect((await send(first, "one")).payload).toEqual({ runId: "043", status: "started" });
  expect((await send(first, "one")).payload.runId).toBe("043");
  for (const [message, key] of [
    ["two", "agent:main:idem"],
    ["one", "agent:main:other"],
  ] as const) {
    expect((await send(first, message, key)).error).toMatchObject({
      code: "INVALID_REQUEST",
      message: expect.stringContaining("043"),
    });
  }
  // Somebody else's run under the same key is a run of its own, not the first one's answer.
  expect((await send(second, "three", "agent:main:idem2")).payload).toEqual({
    runId: "043",
    status: "started",
  });
  await second.find(
    ({ event, payload }) =>
      event === "chat" && payload.sessionKey === "agent:main:idem2" && payload.state === "final",
  );
  const { messages } = await ask(second, "chat.history", { sessionKey: "agent:main:idem2" });
  expect(messages[0]).toMatchObject({ role: "user", content: [{ text: "three" }] });
  await Promise.all([first.close(), second.close()]);
});
