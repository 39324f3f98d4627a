import { createHash } from "node:crypto";
import { appendFile, chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { startFresh } from "../support/fresh.ts";
import { ask, rclaw, startProduct, tempState, token } from "../support/product.ts";
import { createDevice } from "../support/ws-client.ts";

const poll = { timeout: 10_000, interval: 20 };

test("the log is read by its bytes, and goes on where an earlier answer ended", async () => {
  await using state = await tempState();
  await mkdir(path.join(state.dir, "logs"));
  const file = path.join(state.dir, "logs/gateway.log");
  await writeFile(file, `{"level":30,"time":"2026-11-22T10:57:29.939Z","msg":"one"}\n`);
  await using product = await startProduct({ stateDir: state.dir });
  const client = await product.connect({ scopes: ["operator.read"] });

  const first = await ask(client, "logs.tail", { limit: 2, maxBytes: 2_000 });
  expect(Object.keys(first)).toEqual(["file", "cursor", "size", "lines", "truncated", "reset"]);
  expect(first).toMatchObject({ file, truncated: false, reset: false });
  expect(JSON.parse(first.lines[0])).toEqual({
    1: "one",
    _meta: {
      logLevelId: 3,
      logLevelName: "INFO",
      name: '{"subsystem":"gateway"}',
      date: "2026-11-22T10:57:29.939Z",
    },
    time: "2026-11-22T10:57:29.939Z",
  });

  await appendFile(file, `not one of ours ${token}\n{"level":50,"ti`);
  const second = await ask(client, "logs.tail", { cursor: first.cursor });
  expect(second.lines).toEqual(["not one of ours [redacted]"]);
  expect(second.cursor).toBeLessThan(second.size);

  const wrong = await client.request("logs.tail", { limit: 5_001 });
  expect(wrong.error).toEqual({
    code: "INVALID_REQUEST",
    message: "invalid logs.tail params: at /limit: must be <= 5000",
  });
});

test("the log is moved, and sent to stderr, while the gateway runs", async () => {
  await using product = await startFresh({
    config: { logging: { level: "debug", file: "elsewhere/my.log" } },
  });
  const client = await product.connect();
  const file = path.join(product.stateDir, "elsewhere/my.log");
  const change = async (raw: string) =>
    ask(client, "config.patch", { raw, baseHash: (await ask(client, "config.get")).hash });
  const complaint = "names a secret that is not there";
  await change('{ "models": { "providers": { "anthropic": { "apiKey": "secret:gone" } } } }');
  expect(await ask(client, "secrets.reload")).toEqual({ ok: true, warningCount: 1 });
  const tail = await ask(client, "logs.tail");
  expect(tail.file).toBe(file);
  expect(tail.lines.join()).toContain(complaint);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(product.stderr()).not.toContain(complaint);

  await change('{ "logging": { "file": false } }');
  await ask(client, "secrets.reload");
  await vi.waitFor(() => expect(product.stderr()).toContain(complaint), poll);
});

test("what does not exist answers as OpenClaw does where it is not set up", async () => {
  await using product = await startFresh();
  const client = await product.connect();

  expect(await ask(client, "secrets.reload")).toEqual({ ok: true, warningCount: 0 });
  expect(await ask(client, "doctor.memory.status")).toEqual({
    agentId: "main",
    provider: "none",
    embedding: { ok: false, error: "memory search unavailable" },
  });
  expect(await ask(client, "doctor.memory.dreamDiary", { agentId: "main" })).toEqual({
    agentId: "main",
    found: false,
    path: "DREAMS.md",
  });
  const refusals: readonly [string, object, string][] = [
    ["wizard.status", { sessionId: "nope" }, "wizard not found"],
    ["wizard.next", { sessionId: "nope" }, "wizard not found"],
    ["wizard.cancel", { sessionId: "nope" }, "wizard not found"],
    ["web.login.start", {}, "web login provider is not available"],
    ["web.login.wait", { timeoutMs: 1 }, "web login provider is not available"],
    ["push.test", { nodeId: "phone" }, "node phone has no APNs registration (connect iOS node first)"],
    ["push.test", { nodeId: " " }, "nodeId required"],
    ["push.test", {}, "invalid push.test params: must have required property 'nodeId'"],
    [
      "push.test",
      { nodeId: "phone", environment: 5 },
      "invalid push.test params: at /environment: must be string; at /environment: must be equal to one of the allowed values",
    ],
    [
      "agent",
      { message: "x", idempotencyKey: "k", inputProvenance: { kind: "a" } },
      "invalid agent params: at /inputProvenance/kind: must be equal to one of the allowed values",
    ],
    ["chat.send", { sessionKey: "main", message: "", idempotencyKey: "k" }, "message or attachment required"],
    [
      "chat.send",
      { sessionKey: "main", message: "a\0b", idempotencyKey: "k" },
      "message must not contain null bytes",
    ],
  ];
  for (const [method, params, message] of refusals) {
    const { error } = await client.request(method, params);
    expect(error, method).toEqual({ code: "INVALID_REQUEST", message });
  }
});

test("SEC-042 an update is skipped with its reason, and asking for it in a loop is stopped", async () => {
  await using product = await startFresh();
  const device = createDevice();
  const client = await product.connect({ device });

  expect(await ask(client, "update.status")).toMatchObject({ sentinel: null, updateAvailable: null });
  const answer = await ask(client, "update.run", { note: "please", restartDelayMs: 0, timeoutMs: 1_000 });
  expect(answer).toMatchObject({
    ok: true,
    restart: null,
    result: { status: "skipped", before: { version: expect.any(String) }, steps: [] },
    sentinel: { path: null, payload: { kind: "update", status: "skipped", message: "please" } },
  });
  expect(["git", "npm", "unknown"]).toContain(answer.result.mode);
  expect(await ask(client, "update.status")).toMatchObject({ sentinel: { status: "skipped" } });

  await ask(client, "update.run");
  // The device is counted, not its connection.
  const again = await product.connect({ device });
  await ask(again, "update.run");
  const { error } = await again.request("update.run");
  expect(error).toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
    retryAfterMs: expect.any(Number),
    details: { method: "update.run", limit: "3 per 60s" },
  });
  expect(error?.message).toMatch(/^rate limit exceeded for update\.run; retry after \d+s$/);
  await ask(await product.connect({ device: createDevice() }), "update.run");
});

test("the gateway keeps its identity over a restart, and only its owner can read the key", async () => {
  await using state = await tempState();
  const file = path.join(state.dir, "identity/device.json");
  const first = await (async () => {
    await using product = await startProduct({ stateDir: state.dir });
    const client = await product.connect({ scopes: ["operator.read"] });
    return await ask(client, "gateway.identity.get");
  })();
  expect(Object.keys(first).toSorted()).toEqual(["deviceId", "publicKey"]);
  const raw = Buffer.from(first.publicKey, "base64url");
  expect(createHash("sha256").update(raw).digest("hex")).toBe(first.deviceId);
  expect((await stat(file)).mode & 0o777).toBe(0o600);

  await chmod(file, 0o644);
  await using product = await startProduct({ stateDir: state.dir });
  const client = await product.connect();
  expect(await ask(client, "gateway.identity.get")).toEqual(first);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("a damaged identity is not replaced behind its owner's back, and a mended one counts at once", async () => {
  await using product = await startFresh();
  const client = await product.connect();
  const file = path.join(product.stateDir, "identity/device.json");
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, "{ half");
  const { error } = await client.request("gateway.identity.get");
  expect(error).toMatchObject({ code: "UNAVAILABLE", details: { code: "STORE_DEGRADED" } });
  expect(await readFile(file, "utf8")).toBe("{ half");
  await rm(file);
  expect(await ask(client, "gateway.identity.get")).toMatchObject({ deviceId: expect.any(String) });
});

test("a secret that was changed by hand counts after secrets.reload, and a broken file changes nothing", async () => {
  await using state = await tempState();
  const secrets = path.join(state.dir, "secrets.json");
  await writeFile(secrets, JSON.stringify({ "anthropic.default": "first-key-0123456789" }));
  await using product = await startProduct({
    stateDir: state.dir,
    config: { models: { providers: { anthropic: { apiKey: "secret:anthropic.default" } } } },
  });
  const client = await product.connect();
  expect((await ask(client, "models.authStatus")).providers).toEqual([
    {
      provider: "anthropic",
      authProvider: "anthropic",
      displayName: "Anthropic",
      status: "static",
      profiles: [],
      apiKey: { source: "config" },
    },
  ]);

  await writeFile(secrets, "{}");
  expect(await ask(client, "secrets.reload")).toEqual({ ok: true, warningCount: 1 });
  expect((await ask(client, "models.authStatus")).providers).toMatchObject([
    { provider: "anthropic", status: "missing" },
  ]);

  await writeFile(secrets, JSON.stringify({ "anthropic.default": "second-key-0123456789" }));
  expect(await ask(client, "secrets.reload")).toEqual({ ok: true, warningCount: 0 });
  await writeFile(secrets, "{ second-key-0123456789");
  const { error } = await client.request("secrets.reload");
  expect(error?.code).toBe("UNAVAILABLE");
  expect(error?.message).not.toContain("second-key");
  expect((await ask(client, "models.authStatus")).providers).toMatchObject([{ status: "static" }]);
});

test("SEC-032 each method wants the scope that the table names", async () => {
  await using product = await startFresh();
  const reader = await product.connect({ scopes: ["operator.read"] });
  for (const method of [
    "update.run",
    "update.status",
    "secrets.reload",
    "wizard.start",
    "wizard.next",
    "wizard.cancel",
    "wizard.status",
    "web.login.start",
  ]) {
    const { error } = await reader.request(method, {});
    expect(error?.message, method).toBe("missing scope: operator.admin");
  }
  expect((await reader.request("push.test", {})).error?.message).toBe("missing scope: operator.write");

  const { methods } = await ask(reader, "methods.list");
  const row = methods.find(({ name }: { name: string }) => name === "logs.tail");
  expect(row).toMatchObject({
    scope: "operator.read",
    role: "operator",
    owner: "kernel operations",
    since: "2026.2.17",
    params: { type: "object", additionalProperties: false },
  });
  expect(methods.map(({ name }: { name: string }) => name)).toContain("methods.list");
});

test("rclaw logs shows the end, also without a gateway", async () => {
  await using state = await tempState();
  await mkdir(path.join(state.dir, "logs"));
  await writeFile(
    path.join(state.dir, "logs/gateway.log"),
    `{"level":30,"time":"2026-11-22T10:57:29.939Z","msg":"one"}\n{"level":40,"time":"2026-11-22T10:57:30.939Z","plugin":"telegram","msg":"two","err":{"message":"went wrong"},"n":1}\n`,
  );
  const { code, stdout } = await rclaw(state.dir, ["logs", "--limit", "1"]);
  expect(code).toBe(0);
  expect(stdout).toBe("10:57:30 warn  telegram two  went wrong  n=1\n");
  const json = await rclaw(state.dir, ["logs", "--json"]);
  expect(JSON.parse(json.stdout).lines).toHaveLength(2);
});

test("rclaw methods lists what the gateway answers", async () => {
  await using state = await tempState();
  const { code, stdout } = await rclaw(state.dir, ["methods"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^logs\.tail +operator +operator\.read +operations +2026\.2\.17$/m);
});

test("what a client names as a lock or an index is not read out to it, and a device is not read at all", async () => {
  await using state = await tempState();
  await using product = await startProduct({ stateDir: state.dir });
  const client = await product.connect();
  const file = path.join(state.dir, "note.txt");
  await writeFile(file, "hunter2 is my password");
  const refusals = [
    [file, "it is no JSON"],
    [path.join(state.dir, "nowhere.lock"), `${path.join(state.dir, "nowhere.lock")} is not there`],
    ["/dev/zero", "/dev/zero is no regular file"],
    [state.dir, `${state.dir} is no regular file`],
  ] as const;
  for (const [named, message] of refusals)
    for (const [method, params] of [
      ["plugins.ci", { lock: named }],
      ["plugins.search", { query: "x", index: named }],
    ] as const) {
      const { error } = await client.request(method, params);
      expect(error?.message, method).toContain(message);
      expect(JSON.stringify(error)).not.toMatch(/hunter2|ENOENT|EISDIR/);
    }
  await client.close();
});

test("a key that was set from the Models page is taken away from there, and is nowhere then", async () => {
  await using product = await startFresh({ model: "anthropic", env: { ANTHROPIC_API_KEY: "" } });
  const client = await product.connect({ maxProtocol: 4 });
  const key = "sk-ant-api03-CANARY-set-by-page-0123456789";
  await ask(client, "models.authSetApiKey", { provider: "anthropic", agentId: "main", apiKey: key });
  expect((await ask(client, "models.authStatus", { agentId: "main" })).providers).toMatchObject([
    { provider: "anthropic", status: "static", apiKey: { source: "config" } },
  ]);
  const wish = { provider: "anthropic", credentialType: "api_key", agentId: "main" };
  expect(await ask(client, "models.authLogout", wish)).toEqual({
    provider: "anthropic",
    removedProfiles: ["anthropic:default"],
    abortedRunIds: [],
  });
  expect(await product.state.filesWith(key)).toEqual([]);
  expect((await ask(client, "models.authStatus", { agentId: "main" })).providers).toMatchObject([
    { provider: "anthropic", status: "missing" },
  ]);
  expect(await ask(client, "models.authLogout", wish)).toMatchObject({
    removedProfiles: [],
    warning: expect.stringContaining('no key of "anthropic" is stored'),
  });
  expect((await client.request("models.authLogout", { provider: "nobody" })).error).toMatchObject({
    message: 'there is no provider "nobody". See: rclaw plugin list',
  });
});
