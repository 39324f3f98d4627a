import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { ask, rclaw, startProduct, tempState, token } from "../support/product.ts";
import { connectClient, type ConnectOptions, createDevice, type Frame } from "../support/ws-client.ts";

/** As a proxy on this machine hands on a phone from elsewhere. */
const elsewhere = { "x-forwarded-for": "192.0.2.7" };
const config = { gateway: { trustedProxies: ["127.0.0.1"] } };

const product = freshForAll({ config });

const phoneOf = (device = createDevice()): ConnectOptions & { device: typeof device } => ({
  device,
  token,
  scopes: ["operator.read"],
  client: {
    id: "openclaw-ios",
    mode: "ui",
    platform: "iOS 26",
    deviceFamily: "iPhone",
    displayName: "Phone",
  },
  headers: elsewhere,
});

const knock = async (options: ConnectOptions) => {
  const { client, answer } = await connectClient(product.url, options);
  client.ws.on("error", () => undefined);
  return { client, answer };
};

/** With the token that a device was given, and nothing else. */
const comeBack = (options: ConnectOptions, deviceToken: string) => knock({ ...options, token: deviceToken });

test("a phone from elsewhere is paired on the command line, and comes back with a token of its own", async () => {
  const owner = await product.connect();
  const phone = phoneOf();
  const { client, answer } = await knock(phone);
  expect(answer.error).toMatchObject({
    code: "NOT_PAIRED",
    message: "pairing required",
    details: { code: "PAIRING_REQUIRED", reason: "not-paired", requestId: expect.any(String) },
  });
  expect(await client.closed).toEqual({ code: 1008, reason: "pairing required" });
  const asked = await owner.find(({ event }) => event === "device.pair.requested");
  expect(asked.payload).toMatchObject({ deviceId: phone.device.id, remoteIp: "192.0.2.7", silent: false });

  const list = await rclaw(product.stateDir, ["devices"]);
  expect(list.stdout).toMatch(
    /^REQUEST .*\n\S+ +[0-9a-f]{12} +Phone +iOS 26 +operator +192\.0\.2\.7 +just now +read$/m,
  );
  expect(list.stderr).toContain("Next: rclaw devices approve\n");
  const approved = await rclaw(product.stateDir, ["devices", "approve"]);
  expect(approved.stderr).toContain(`Phone (${phone.device.id.slice(0, 12)}) is paired and may use: read.`);
  await owner.find(
    ({ event, payload }) => event === "device.pair.resolved" && payload.decision === "approved",
  );

  const { deviceToken } = (await knock(phone)).answer.payload.auth;
  const back = await comeBack(phone, deviceToken);
  expect(back.answer.payload.auth).toMatchObject({
    deviceToken,
    role: "operator",
    scopes: ["operator.read"],
  });
  expect((await comeBack({ ...phone, scopes: ["operator.admin"] }, deviceToken)).answer.error?.message).toBe(
    "unauthorized: gateway token mismatch (provide gateway auth token)",
  );
});

test.each([
  ["device.token.revoke", { role: "operator" }, "device token revoked"],
  ["device.token.rotate", { role: "operator" }, "device token rotated"],
  ["device.pair.remove", {}, "device removed"],
])("%s ends what is open within a second, and the token with it", async (method, params, reason) => {
  const device = createDevice();
  const local: ConnectOptions = { device, token, scopes: ["operator.read"] };
  const { client, answer } = await knock(local);
  const { deviceToken } = answer.payload.auth;
  const owner = await product.connect();
  const since = performance.now();
  await ask(owner, method, { deviceId: device.id, ...params });
  expect(await client.closed).toEqual({ code: 1008, reason });
  expect(performance.now() - since).toBeLessThan(1_000);
  const { error } = (await comeBack(local, deviceToken)).answer;
  expect(error).toMatchObject({ code: "INVALID_REQUEST", details: { code: "AUTH_TOKEN_MISMATCH" } });
});

test("the command line rotates, revokes and removes by the first digits", async () => {
  const device = createDevice();
  const local: ConnectOptions = { device, token };
  await knock(local);
  const id = device.id.slice(0, 10);
  const rotated = await rclaw(product.stateDir, ["devices", "rotate", id, "--scope", "read"]);
  expect(rotated.stderr).toContain("The old token of cli (operator) is worth nothing now. The new one:");
  const fresh = rotated.stdout.trim();
  expect((await comeBack({ ...local, scopes: ["operator.read"] }, fresh)).answer.ok).toBe(true);
  const revoked = await rclaw(product.stateDir, ["devices", "revoke", id]);
  expect(revoked.stderr).toBe("The token of cli (operator) is revoked and its connections end.\n");
  const unasked = await rclaw(product.stateDir, ["devices", "remove", id]);
  expect(unasked.code).toBe(2);
  expect(unasked.stderr).toContain("add --yes");
  expect((await rclaw(product.stateDir, ["devices", "remove", id, "--yes"])).code).toBe(0);
  const gone = await rclaw(product.stateDir, ["devices", "remove", id, "--yes"]);
  expect(gone.stderr).toContain(`there is no device "${id}". See: rclaw devices list [NOT_FOUND]`);
});

test("two hundred connections of one device at once make it one token", async () => {
  const device = createDevice();
  const all = await Promise.all(Array.from({ length: 200 }, () => knock({ device, token })));
  const tokens = all.map(({ answer }) => answer.payload.auth.deviceToken);
  expect(new Set(tokens).size).toBe(1);
  const paired = JSON.parse(await product.state.read("devices/paired.json"));
  expect(paired[device.id].tokens.operator.token).toBe(tokens[0]);
  for (const { client } of all) client.ws.terminate();
});

test("two that wait are told apart, and one that is turned away stays out", async () => {
  const [first, second] = [phoneOf(), phoneOf()];
  const requestOf = ({ answer }: { answer: Frame }) => String(answer.error?.details?.["requestId"]);
  const requestId = requestOf(await knock(first));
  const other = requestOf(await knock(second));
  const unclear = await rclaw(product.stateDir, ["devices", "approve"]);
  expect(unclear.code).toBe(2);
  expect(unclear.stderr).toContain("2 devices wait; say which one, or add --latest");
  expect((await rclaw(product.stateDir, ["devices", "reject", requestId.slice(0, 13)])).code).toBe(0);
  const latest = await rclaw(product.stateDir, ["devices", "approve", "--latest", "--json"]);
  expect(JSON.parse(latest.stdout)).toMatchObject({ requestId: other });
  expect((await knock(second)).answer.ok).toBe(true);
  expect((await knock(first)).answer.error?.code).toBe("NOT_PAIRED");
});

test("what a stranger calls itself stays on the line that it is told on", async () => {
  const phone = phoneOf();
  const displayName = `Phone\nAdmin is paired and may use: admin.\u001b[2J${"x".repeat(200)}`;
  await knock({ ...phone, client: { ...phone.client, displayName } });
  const { stderr } = await rclaw(product.stateDir, ["devices", "approve", "--latest"]);
  const [line = "", next] = stderr.split("\n");
  expect(line).toMatch(/^Phone Admin is paired and may use: admin\..{1,30} \([0-9a-f]{12}\) is paired/);
  expect(next).toBe("It comes in with its next attempt.");
});

test("pairing survives a crash, and a damaged file lets nobody in without hiding anything", async () => {
  await using own = await tempState();
  const device = createDevice();
  let deviceToken = "";
  {
    await using first = await startProduct({ stateDir: own.dir });
    const { answer } = await connectClient(first.url, { device, token });
    ({ deviceToken } = answer.payload.auth);
    await first.kill();
  }
  {
    await using second = await startProduct({ stateDir: own.dir });
    const { answer } = await connectClient(second.url, { device, token: deviceToken });
    expect(answer.payload.auth.deviceToken).toBe(deviceToken);
    await second.stop();
  }
  await mkdir(path.join(own.dir, "devices"), { recursive: true });
  await writeFile(path.join(own.dir, "devices/paired.json"), "{ half");
  await using third = await startProduct({ stateDir: own.dir });
  const { answer } = await connectClient(third.url, { device, token });
  expect(answer.error?.code).toBe("UNAVAILABLE");
  const list = await ask(await third.connect(), "device.pair.list").catch((error: Error) => error.message);
  expect(list).toContain("devices/paired.json is damaged");
});

test("a command without a gateway works on the files", async () => {
  await using own = await tempState();
  const { code, stderr } = await rclaw(own.dir, ["devices"]);
  expect(code).toBe(0);
  expect(stderr).toBe("No device is paired.\n");
  const none = await rclaw(own.dir, ["devices", "approve"]);
  expect(none.code).toBe(1);
  expect(none.stderr).toContain("no device waits for an answer [NOT_FOUND]");
});
