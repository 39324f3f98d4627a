import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { request } from "node:http";
import { expect, test } from "vitest";
import { type Client, connectClient, createDevice, openClient, signDevice } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

test("a client of protocol 3 and one of protocol 4 each get their own", async () => {
  await using gateway = await startGateway();
  for (const [minProtocol, maxProtocol, expected] of [
    [3, 3, 3],
    [4, 4, 4],
    [3, 4, 4],
    [2, 9, 4],
    [1, 3, 3],
  ] as const) {
    const { client, answer } = await connectClient(gateway.url, { token, minProtocol, maxProtocol });
    expect(answer.payload.protocol, `${minProtocol}..${maxProtocol}`).toBe(expected);
    await client.close();
  }
});

test.each([
  [1, 2],
  [5, 9],
  [4, 3],
])(
  "a client that only speaks %i to %i is closed with 1002 and told the newest protocol",
  async (minProtocol, maxProtocol) => {
    await using gateway = await startGateway();
    const { client, answer } = await connectClient(gateway.url, { token, minProtocol, maxProtocol });
    expect(answer.error).toEqual({
      code: "INVALID_REQUEST",
      message: "protocol mismatch",
      details: { expectedProtocol: 4 },
    });
    expect(await client.closed).toEqual({ code: 1002, reason: "protocol mismatch" });
  },
);

test("hello-ok says who the client is, what it may do and where things stand", async () => {
  await using gateway = await startGateway();
  const { client, answer } = await connectClient(gateway.url, {
    token,
    scopes: ["operator.write", "operator.read", "operator.unheard-of"],
  });
  expect(answer.payload).toMatchObject({
    type: "hello-ok",
    protocol: 3,
    server: {
      version: "0.0.0-test",
      connId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      host: expect.any(String),
    },
    features: {
      methods: expect.arrayContaining(["health", "status", "system-presence"]),
      events: expect.arrayContaining(["tick"]),
    },
    snapshot: {
      presence: [{ mode: "gateway", reason: "self" }],
      health: {},
      stateVersion: { presence: 1, health: 1 },
      authMode: "token",
    },
    auth: { role: "operator", scopes: ["operator.read", "operator.write"] },
    policy: { maxPayload: 26_214_400, maxBufferedBytes: 52_428_800, tickIntervalMs: 30_000 },
  });
  await client.close();
});

test("a client that names no scopes gets none", async () => {
  await using gateway = await startGateway();
  const { client, answer } = await connectClient(gateway.url, { token, scopes: [] });
  expect(answer.payload.auth.scopes).toEqual([]);
  expect((await client.request("status")).error?.message).toBe("missing scope: operator.read");
  await client.close();
});

test("any non-empty client id is welcome, but a mode must be one of the protocol's", async () => {
  await using gateway = await startGateway();
  const welcome = await connectClient(gateway.url, { token, client: { id: "somebody-new" } });
  expect(welcome.answer.ok).toBe(true);
  await welcome.client.close();

  const refused = await connectClient(gateway.url, { token, client: { id: "", mode: "operator" } });
  expect(refused.answer.error?.message).toBe(
    "invalid connect params: at /client/id: must NOT have fewer than 1 characters; at /client/mode: must be equal to constant; at /client/mode: must match a schema in anyOf",
  );
});

test("the reason of a close is cut to 120 bytes and never inside a character", async () => {
  await using gateway = await startGateway();
  const client = await openClient(gateway.url);
  client.send({
    type: "req",
    id: "a",
    method: "connect",
    params: { [`${"x".repeat(40)}${"é".repeat(80)}`]: 1 },
  });
  const { code, reason } = await client.closed;
  expect(code).toBe(1008);
  expect(Buffer.byteLength(reason)).toBeGreaterThan(117);
  expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(120);
  expect(reason).not.toContain("�");
});

test.each(["v2", "v3"] as const)(
  "a device that signs %s is accepted and becomes the client's principal",
  async (version) => {
    await using gateway = await startGateway();
    const device = createDevice();
    const { client, answer } = await connectSigned(gateway.url, { version, device });
    expect(answer.ok).toBe(true);
    await client.close();
  },
);

test("a key in PEM is as good as a raw one", async () => {
  await using gateway = await startGateway();
  const device = createDevice();
  const pem = createPublicKey(device.key).export({ type: "spki", format: "pem" }).toString();
  const { client, answer } = await connectSigned(gateway.url, {
    device,
    change: (claim) => ({ ...claim, publicKey: pem }),
  });
  expect(answer.ok).toBe(true);
  await client.close();
});

test("a signature without a nonce is only accepted from this machine and from no page", async () => {
  await using gateway = await startGateway();
  const local = await connectSigned(gateway.url, { version: "v1" });
  expect(local.answer.ok).toBe(true);
  await local.client.close();

  const byName = await connectSigned(gateway.url, {
    version: "v1",
    headers: { host: "gateway.example.com:1" },
  });
  expect(byName.answer.error).toEqual({
    code: "INVALID_REQUEST",
    message: "device nonce required",
    details: { code: "DEVICE_AUTH_INVALID", reason: "device-nonce-missing" },
  });
  const page = await connectSigned(gateway.url, {
    version: "v1",
    headers: { origin: gateway.url.replace("ws", "http") },
  });
  expect(page.answer.error?.message).toBe("device nonce required");
});

const other = createDevice();
test.each([
  [
    "a signature of somebody else",
    { signature: Buffer.alloc(64).toString("base64url") },
    "device signature invalid",
    "device-signature",
  ],
  ["a signature of the wrong length", { signature: "AAAA" }, "device signature invalid", "device-signature"],
  [
    "an id that is not the key's fingerprint",
    { id: "f".repeat(64) },
    "device identity mismatch",
    "device-id-mismatch",
  ],
  ["another device's key", { publicKey: other.publicKey }, "device identity mismatch", "device-id-mismatch"],
  ["a key that is none", { publicKey: "AAAA" }, "device public key invalid", "device-public-key"],
  ["a key of another curve", { publicKey: p256() }, "device public key invalid", "device-public-key"],
  [
    "a nonce from elsewhere",
    { nonce: "00000000-0000-0000-0000-000000000000" },
    "device nonce mismatch",
    "device-nonce-mismatch",
  ],
  [
    "a time 130 s ago",
    { signedAt: Date.now() - 130_000 },
    "device signature expired",
    "device-signature-stale",
  ],
  [
    "a time 10 min ahead",
    { signedAt: Date.now() + 600_000 },
    "device signature expired",
    "device-signature-stale",
  ],
])("a device with %s is refused", async (_what, wrong, message, reason) => {
  await using gateway = await startGateway();
  const { client, answer } = await connectSigned(gateway.url, {
    change: (claim) => ({ ...claim, ...wrong }),
  });
  expect(answer.error).toEqual({
    code: "INVALID_REQUEST",
    message,
    details: { code: "DEVICE_AUTH_INVALID", reason },
  });
  expect(await client.closed).toEqual({ code: 1008, reason: message });
});

test("a v1 signature does not pass where a nonce was sent", async () => {
  await using gateway = await startGateway();
  const device = createDevice();
  const client = await openClient(gateway.url);
  const nonce = await client.nonce();
  const claim = { ...signDevice(device, params, { version: "v1", nonce }), nonce };
  expect((await client.request("connect", { ...params, device: claim })).error?.message).toBe(
    "device signature invalid",
  );
});

test("a node needs a device, has no scopes and is held to a node's methods", async () => {
  await using gateway = await startGateway();
  const node = { id: "node-host", mode: "node" };
  const without = await connectClient(gateway.url, { token, role: "node", client: node });
  expect(without.answer.error).toEqual({
    code: "NOT_PAIRED",
    message: "device identity required",
    details: { code: "DEVICE_IDENTITY_REQUIRED" },
  });
  const disguised = await connectClient(gateway.url, {
    token,
    role: "node",
    client: { id: "openclaw-control-ui", mode: "node" },
    headers: { origin: gateway.url.replace("ws", "http") },
  });
  expect(disguised.answer.error?.message).toBe("device identity required");

  const { client, answer } = await connectClient(gateway.url, {
    token,
    role: "node",
    client: node,
    device: createDevice(),
    scopes: ["operator.admin"],
  });
  expect(answer.payload.auth).toMatchObject({ role: "node", scopes: [] });
  expect((await client.request("health")).ok).toBe(true);
  expect((await client.request("status")).error?.message).toBe("unauthorized role: node");
  await client.close();
});

test("a Control UI without a device needs the config to say so", async () => {
  const client = { id: "openclaw-control-ui", mode: "webchat" };
  for (const [controlUi, host, ok] of [
    [undefined, undefined, false],
    [{ allowInsecureAuth: true }, undefined, true],
    [{ allowInsecureAuth: true }, "192.0.2.7:18789", false],
    [{ dangerouslyDisableDeviceAuth: true }, "192.0.2.7:18789", true],
  ] as const) {
    await using gateway = await startGateway({ auth: { mode: "token", token, controlUi } });
    const at = host ?? `127.0.0.1:${gateway.port}`;
    const { client: socket, answer } = await connectClient(gateway.url, {
      token,
      client,
      headers: { origin: `http://${at}`, host: at },
    });
    expect(answer.ok, JSON.stringify({ controlUi, host })).toBe(ok);
    await socket.close();
  }
});

test("a password works like a token, and each names what is missing or wrong", async () => {
  await using gateway = await startGateway({ auth: { mode: "password", password: "correct horse" } });
  const right = await connectClient(gateway.url, { password: "correct horse" });
  expect(right.answer.ok).toBe(true);
  await right.client.close();

  const wrong = await connectClient(gateway.url, { password: "battery staple" });
  expect(wrong.answer.error).toEqual({
    code: "INVALID_REQUEST",
    message:
      "unauthorized: gateway password mismatch (set gateway.remote.password to match gateway.auth.password)",
    details: { code: "AUTH_PASSWORD_MISMATCH", authReason: "password_mismatch" },
  });
  const missing = await connectClient(gateway.url, { token, client: { id: "gateway-client" } });
  expect(missing.answer.error?.details).toEqual({
    code: "AUTH_PASSWORD_MISSING",
    authReason: "password_missing",
  });
  expect(missing.answer.error?.message).toBe(
    "unauthorized: gateway password missing (provide gateway auth password)",
  );
});

test("a gateway without a token lets nobody in by an empty one", async () => {
  await using gateway = await startGateway({ auth: { mode: "token", token: "" } });
  const empty = await connectClient(gateway.url, { token: "" });
  expect(empty.answer.error?.code).toBe("NOT_PAIRED");
  const some = await connectClient(gateway.url, { token: "undefined" });
  expect(some.answer.error?.details?.["code"]).toBe("AUTH_TOKEN_NOT_CONFIGURED");
});

test("a rotated token counts at once, and old sockets can be closed", async () => {
  let current = "first-token";
  await using gateway = await startGateway({
    auth: {
      mode: "token",
      get token() {
        return current;
      },
    },
  });
  const { client } = await connectClient(gateway.url, { token: "first-token" });
  current = "second-token";
  gateway.gateway.closeWhere(() => true, 1008, "token rotated");
  expect(await client.closed).toEqual({ code: 1008, reason: "token rotated" });
  expect((await connectClient(gateway.url, { token: "first-token" })).answer.ok).toBe(false);
  const again = await connectClient(gateway.url, { token: "second-token" });
  expect(again.answer.ok).toBe(true);
  await again.client.close();
});

test("a page that guesses is locked out after ten tries, right secret or not, while programs go on", async () => {
  let time = Date.now();
  await using gateway = await startGateway({ now: () => time });
  const headers = { origin: `http://localhost:${gateway.port}` };
  const attempt = async (secret: string, from: Record<string, string> = headers) => {
    const { client, answer } = await connectClient(gateway.url, { token: secret, headers: from });
    await client.close();
    return answer;
  };
  for (let i = 0; i < 10; i++)
    expect((await attempt(`guess-${i}`)).error?.details?.["code"]).toBe("AUTH_TOKEN_MISMATCH");
  const locked = await attempt(token);
  expect(locked.error).toMatchObject({
    code: "INVALID_REQUEST",
    details: { code: "AUTH_RATE_LIMITED" },
    retryable: true,
  });
  expect(locked.error?.retryAfterMs).toBeGreaterThan(290_000);
  expect(locked.error?.message).toBe("unauthorized: too many failed authentication attempts (retry later)");

  expect((await attempt(token, {})).ok).toBe(true);
  for (let i = 0; i < 12; i++) await attempt(`typo-${i}`, {});
  expect((await attempt(token, {})).ok).toBe(true);

  time += 301_000;
  expect((await attempt(token)).ok).toBe(true);
});

test("what a proxy claims is only believed of a trusted one, and never excuses a page's origin", async () => {
  const status = (url: string, headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const upgrade = request(url.replace("ws", "http"), {
        headers: {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          ...headers,
        },
      });
      upgrade.on("response", (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      upgrade.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve(response.statusCode ?? 0);
      });
      upgrade.on("error", reject);
      upgrade.end();
    });
  await using direct = await startGateway();
  expect(await status(direct.url, {})).toBe(101);
  expect(await status(direct.url, { "x-forwarded-for": "127.0.0.1" })).toBe(403);
  expect(await status(direct.url, { forwarded: "for=10.0.0.1" })).toBe(403);

  await using behind = await startGateway({
    auth: { mode: "token", token, trustedProxies: ["127.0.0.0/8"] },
  });
  const from = { "x-forwarded-for": "6.6.6.6, 203.0.113.9" };
  for (let i = 0; i < 10; i++) {
    // Whatever the client itself puts in front of the chain changes nothing.
    const headers = { "x-forwarded-for": `10.1.1.${i}, 203.0.113.9` };
    expect(
      (await connectClient(behind.url, { token: "wrong", headers })).answer.error?.details?.["code"],
    ).toBe("AUTH_TOKEN_MISMATCH");
  }
  expect((await connectClient(behind.url, { token, headers: from })).answer.error?.details?.["code"]).toBe(
    "AUTH_RATE_LIMITED",
  );
  const evil = await connectClient(behind.url, {
    token,
    headers: { "x-forwarded-for": "203.0.113.77", origin: "https://evil.example" },
  });
  expect(evil.answer.error?.message).toMatch(/^origin not allowed/);
});

test("what a client says about itself is written to the log on one line and not at length", async () => {
  await using gateway = await startGateway();
  const headers = { "user-agent": `agent\u009b31m\t${"u".repeat(4_000)}` };
  const { client } = await connectClient(gateway.url, {
    token: "wrong\r\nforged: line",
    headers,
    client: { id: "x\r\n\u001b[2J" },
  });
  await client.closed;
  const [line] = gateway.logged.filter(({ level }) => level === "warn");
  const text = JSON.stringify(line);
  expect(text.length).toBeLessThan(1_000);
  expect(text).not.toMatch(/\\u001b|\u009b|\\r|\\n|\\t/);
  expect(text).not.toContain("forged");
});

const params = {
  minProtocol: 3,
  maxProtocol: 3,
  client: { id: "cli", version: "0.0.1", platform: " Linux", mode: "cli", deviceFamily: "Linux Box" },
  role: "operator",
  scopes: ["operator.write", "operator.read"],
  auth: { token },
};

async function connectSigned(
  url: string,
  {
    version = "v3",
    device = createDevice(),
    change = (claim) => claim,
    headers,
  }: {
    version?: "v1" | "v2" | "v3";
    device?: ReturnType<typeof createDevice>;
    change?: (claim: object) => object;
    headers?: Record<string, string>;
  },
): Promise<{ client: Client; answer: Awaited<ReturnType<Client["request"]>> }> {
  const client = await openClient(url, headers ? { headers } : {});
  const nonce = await client.nonce();
  const claim = change(signDevice(device, params, { version, nonce }));
  return { client, answer: await client.request("connect", { ...params, device: claim }) };
}

function p256(): string {
  return generateKeyPairSync("ec", { namedCurve: "P-256" })
    .publicKey.export({ type: "spki", format: "pem" })
    .toString();
}
