import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";
import { type Client, connectClient, createDevice, type Frame } from "../support/ws-client.ts";

/** Rows of the attack table that concern who may call and see what, against the whole product. */
let state: TempState;
let product: Product;

beforeAll(async () => {
  state = await tempState();
  product = await startProduct({ stateDir: state.dir });
});
afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

/** Every method and what it asks for. One that is not here has nobody thought about. */
const scopes: Readonly<Record<string, string | null>> = {
  health: null,
  ...of(
    "operator.read",
    "status system-presence config.get channels.status models.list models.default sessions.list sessions.preview chat.history plugins.list plugins.info plugins.plan plugins.top plugins.verify plugins.search",
  ),
  ...of("operator.read", "cron.list cron.status cron.get cron.runs last-heartbeat"),
  ...of("operator.admin", "cron.add cron.update cron.remove cron.run set-heartbeats system-event"),
  ...of("operator.write", "agent agent.wait wake chat.send chat.abort"),
  ...of(
    "operator.admin",
    "config.set config.patch channels.logout sessions.patch sessions.reset sessions.delete plugins.add plugins.enable plugins.disable plugins.reload plugins.remove plugins.logout plugins.runtime plugins.panic plugins.stage plugins.commit plugins.discard plugins.rollback plugins.ci plugins.pack plugins.check plugins.link plugins.unlink plugins.logs",
  ),
  ...of("operator.approvals", "egress.pending egress.resolve"),
  ...of("operator.pairing", "pairing.list pairing.approve pairing.revoke"),
};
function of(scope: string, methods: string): Record<string, string> {
  return Object.fromEntries(methods.split(" ").map((method) => [method, scope]));
}

describe("SEC-026 SEC-028 SEC-032: who may call what", () => {
  const all = ["operator.admin", "operator.approvals", "operator.pairing", "operator.read", "operator.write"];
  const subsets = Array.from({ length: 2 ** all.length }, (_, bits) =>
    all.filter((_scope, i) => bits & (1 << i)),
  );
  const covers = (granted: readonly string[], needed: string | null): boolean =>
    needed === null ||
    granted.includes("operator.admin") ||
    granted.includes(needed) ||
    (needed === "operator.read" && granted.includes("operator.write"));

  test("every method has its scope, and no other subset of the scopes opens it", async () => {
    const { client, answer } = await connectClient(product.url, { token });
    expect((answer.payload.features.methods as string[]).toSorted()).toEqual(Object.keys(scopes).toSorted());
    await client.close();
    for (const granted of subsets) {
      const caller = await product.connect({ scopes: granted });
      for (const [method, needed] of Object.entries(scopes)) {
        // Refused for its params where it may be called at all, so that nothing is done.
        const { ok, error } = await caller.request(method, { "no such member": 1 });
        const message = error?.message ?? "";
        if (covers(granted, needed))
          expect(`${method} ${message}`).not.toMatch(/missing scope|unauthorized|unknown method/);
        else
          expect(`${granted.join()}: ${method} ${String(ok)} ${message}`).toBe(
            `${granted.join()}: ${method} false missing scope: ${needed}`,
          );
      }
      const unknown = await caller.request("no.such.method");
      expect(unknown.error?.message).toBe(
        granted.includes("operator.admin")
          ? "unknown method: no.such.method"
          : "missing scope: operator.admin",
      );
      await caller.close();
    }
  });

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
      for (const method of Object.keys(scopes).filter((name) => name !== "health")) {
        const node = await product.connect({
          role: "node",
          scopes: ["operator.admin"],
          client: { id, mode: "node" },
          device: createDevice(),
          headers: { origin: "http://localhost" },
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
