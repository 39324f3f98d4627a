import { RclawError } from "@rclaw/plugin-sdk";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { connectClient, createDevice, openClient, signDevice } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

const connectParams = {
  minProtocol: 3,
  maxProtocol: 4,
  client: { id: "cli", version: "0.0.1", platform: "linux", mode: "cli" },
  role: "operator",
  scopes: ["operator.read"],
  auth: { token },
};

function method(name: string, handle: KernelMethod["handle"]): KernelMethod {
  return { name, scope: "operator.read", handle };
}

test("frames that are no requests are answered in the protocol's words, garbage not at all", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  const refusal = async (frame: unknown, id: string): Promise<string | undefined> => {
    client.send(frame);
    const answer = await client.find((received) => received.id === id && received.ok === false);
    expect(answer.error?.code).toBe("INVALID_REQUEST");
    return answer.error?.message;
  };
  client.send("garbage");
  expect(await refusal({ type: "req", id: "x" }, "x")).toBe(
    "invalid request frame: must have required property 'method'",
  );
  expect(await refusal({ foo: 1 }, "invalid")).toBe(
    "invalid request frame: must have required property 'type'; must have required property 'id'; must have required property 'method'; at root: unexpected property 'foo'",
  );
  expect(await refusal({ type: "req", id: "y1", method: "health", extra: 1 }, "y1")).toBe(
    "invalid request frame: at root: unexpected property 'extra'",
  );
  expect(await refusal({ type: "event", id: "e", event: "x", method: "y" }, "e")).toMatch(
    /^invalid request frame: /,
  );
  const connect = { type: "req", id: "again", method: "connect", params: { minProtocol: 3, maxProtocol: 3 } };
  expect(await refusal(connect, "again")).toBe("connect is only valid as the first request");
  expect((await client.request("health")).ok).toBe(true);
  await client.close();
});

test.each([
  ["not json", 1000, ""],
  ['{"type":"req"', 1000, ""],
  ["[]", 1008, "invalid request frame"],
  ["null", 1008, "invalid request frame"],
  ["7", 1008, "invalid request frame"],
  ['{"type":"req","id":"a","method":"health"}', 1008, "invalid handshake: first request must be connect"],
  [
    '{"type":"req","id":"a","method":"config.set","params":{}}',
    1008,
    "invalid handshake: first request must be connect",
  ],
])("before connect, %s closes the socket", async (text, code, reason) => {
  await using gateway = await startGateway();
  const client = await openClient(gateway.url);
  client.send(text);
  expect(await client.closed).toEqual({ code, reason });
});

test("binary frames are read as text, and bytes that are none close with 1007", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  client.send({ type: "req", id: "b", method: "health" }, { binary: true });
  expect((await client.find(({ id }) => id === "b")).ok).toBe(true);
  client.ws.send(Buffer.from([0xff, 0xfe, 0x7b]), { binary: true });
  expect((await client.closed).code).toBe(1007);
});

test("a message in fragments is one message, and a ping is answered", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  client.ws.send('{"type":"req",', { fin: false });
  client.ws.send('"id":"f","meth', { fin: false });
  client.ws.send('od":"health"}', { fin: true });
  expect((await client.find(({ id }) => id === "f")).ok).toBe(true);
  const pong = new Promise<string>((resolve) => client.ws.once("pong", (data) => resolve(data.toString())));
  client.ws.ping("are you there");
  expect(await pong).toBe("are you there");
  await client.close();
});

test("before connect a message may be 64 KiB, afterwards as large as the policy says", async () => {
  await using gateway = await startGateway({ limits: { maxPayload: 200_000 } });
  const stranger = await openClient(gateway.url);
  stranger.send(JSON.stringify({ pad: "x".repeat(70_000) }));
  expect((await stranger.closed).code).toBe(1009);

  const { client, answer } = await connectClient(gateway.url, { token });
  expect(answer.payload.policy.maxPayload).toBe(200_000);
  expect((await client.request("health", { pad: "x".repeat(150_000) })).ok).toBe(true);
  client.send(
    JSON.stringify({ type: "req", id: "big", method: "health", params: { pad: "x".repeat(200_000) } }),
  );
  expect((await client.closed).code).toBe(1009);

  const { client: splitter } = await connectClient(gateway.url, { token });
  for (let i = 0; i < 3; i++) splitter.ws.send("x".repeat(90_000), { fin: false }, () => undefined);
  expect((await splitter.closed).code).toBe(1009);
});

test("the close code of a frame that is too large arrives although events go on", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  let isOver = false;
  const chatter = (): void => {
    gateway.gateway.broadcast("presence", { presence: [] });
    if (!isOver) setImmediate(chatter);
  };
  chatter();
  client.send("x".repeat(26 * 1_024 * 1_024 + 1));
  expect(await client.closed).toEqual({ code: 1009, reason: "" });
  isOver = true;
});

test("requests run side by side and are answered when they are done", async () => {
  const gates: (() => void)[] = [];
  const wait = method("wait", () => new Promise<unknown>((resolve) => gates.push(() => resolve("done"))));
  await using gateway = await startGateway({ methods: [wait] });
  const { client } = await connectClient(gateway.url, { token });
  const slow = client.request("wait");
  expect((await client.request("health")).ok).toBe(true);
  expect(client.frames.filter(({ payload }) => payload === "done")).toHaveLength(0);
  gates[0]?.();
  expect((await slow).payload).toBe("done");
  await client.close();
});

test("one connection has a limited number of requests under way", async () => {
  const gates: (() => void)[] = [];
  const wait = method("wait", () => new Promise<unknown>((resolve) => gates.push(() => resolve("done"))));
  await using gateway = await startGateway({ methods: [wait], limits: { requestsInFlight: 3 } });
  const { client } = await connectClient(gateway.url, { token });
  const first = [client.request("wait"), client.request("wait"), client.request("wait")];
  const fourth = await client.request("wait");
  expect(fourth.error).toMatchObject({
    code: "UNAVAILABLE",
    details: { code: "RATE_LIMITED" },
    retryable: true,
  });
  for (const open of gates) open();
  await Promise.all(first);
  const fifth = client.request("wait");
  await client.request("health");
  gates.at(-1)?.();
  expect((await fifth).ok).toBe(true);
  await client.close();
});

test("closing the socket aborts what has not accepted, and nothing else", async () => {
  const signals: Record<string, AbortSignal> = {};
  const started: (() => void)[] = [];
  const run = (name: string, accepts: boolean): KernelMethod =>
    method(name, ({ signal, accept }) => {
      signals[name] = signal;
      if (accepts) accept({ status: "accepted" });
      started.shift()?.();
      return new Promise(() => undefined);
    });
  await using gateway = await startGateway({ methods: [run("plain", false), run("lasting", true)] });
  const { client } = await connectClient(gateway.url, { token });
  const both = Promise.all([
    new Promise<void>((resolve) => started.push(resolve)),
    new Promise<void>((resolve) => started.push(resolve)),
  ]);
  client.send({ type: "req", id: "p", method: "plain" });
  expect((await client.request("lasting")).payload).toEqual({ status: "accepted" });
  await both;
  const aborted = new Promise<void>((resolve) =>
    signals["plain"]?.addEventListener("abort", () => resolve(), { once: true }),
  );
  await client.close();
  await aborted;
  expect(signals["lasting"]?.aborted).toBe(false);
});

test("an accepted request gets a second answer with the same id", async () => {
  const run = method("run", async ({ accept }) => {
    accept({ status: "accepted" });
    return { status: "ok" };
  });
  await using gateway = await startGateway({ methods: [run] });
  const { client } = await connectClient(gateway.url, { token });
  client.send({ type: "req", id: "r", method: "run" });
  await client.find(({ id, payload }) => id === "r" && payload?.status === "ok");
  expect(client.frames.filter(({ id }) => id === "r").map(({ payload }) => payload.status)).toEqual([
    "accepted",
    "ok",
  ]);
  await client.close();
});

test("a method that fails unexpectedly says nothing of its inside to the client", async () => {
  const boom = method("boom", () => Promise.reject(new Error("secret path /root/x")));
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const loop = method("loop", async () => cyclic);
  const polite = method("polite", () =>
    Promise.reject(new RclawError("NOT_FOUND", "there is no such thing", { details: { id: 1 } })),
  );
  const tangled = method("tangled", () =>
    Promise.reject(new RclawError("NOT_FOUND", "there is no such thing", { details: cyclic })),
  );
  await using gateway = await startGateway({ methods: [boom, loop, tangled, polite] });
  const { client } = await connectClient(gateway.url, { token });
  const internal = { code: "UNAVAILABLE", message: "internal error; see the gateway's log" };
  expect((await client.request("boom")).error).toEqual(internal);
  expect((await client.request("loop")).error).toEqual(internal);
  expect((await client.request("tangled")).error).toEqual(internal);
  expect((await client.request("polite")).error).toEqual({
    code: "INVALID_REQUEST",
    message: "there is no such thing",
    details: { code: "NOT_FOUND", id: 1 },
  });
  expect(gateway.logged.filter(({ level }) => level === "error")).toHaveLength(3);
  await client.close();
});

test("a request that failed halfway says so in a payload beside the error", async () => {
  const payload = { runId: "r", status: "error", summary: "the model is gone" };
  const run = method("run", () =>
    Promise.reject(new RclawError("UNAVAILABLE", "the model is gone", { details: { payload } })),
  );
  await using gateway = await startGateway({ methods: [run] });
  const { client } = await connectClient(gateway.url, { token });
  expect(await client.request("run")).toEqual({
    type: "res",
    id: "t2",
    ok: false,
    payload,
    error: { code: "UNAVAILABLE", message: "the model is gone" },
  });
  await client.close();
});

test("a client that asks without reading the answers is cut off", async () => {
  const large = method("large", async () => "x".repeat(200_000));
  await using gateway = await startGateway({
    methods: [large],
    limits: { maxBufferedBytes: 1_000_000, closeMs: 200 },
  });
  const { client } = await connectClient(gateway.url, { token });
  client.ws.pause();
  for (let i = 0; i < 200; i++) client.send({ type: "req", id: `l${i}`, method: "large" });
  await expect.poll(() => gateway.gateway.connections()).toBe(0);
  client.ws.terminate();
});

test.each([
  '{"type":"req","id":"p","method":"echo","params":{"__proto__":{"isAdmin":true}}}',
  '{"type":"req","id":"p","method":"echo","params":{"a":[{"constructor":{"prototype":{"isAdmin":true}}}]}}',
  '{"type":"req","id":"p","method":"echo","params":{"\\u005f_proto__":{"isAdmin":true}}}',
  '{"type":"req","id":"p","__proto__":{"isAdmin":true},"method":"echo"}',
])("keys that reach a prototype are refused: %s", async (text) => {
  let calls = 0;
  const echo = method("echo", async ({ params }) => (calls++, params));
  await using gateway = await startGateway({ methods: [echo] });
  const { client } = await connectClient(gateway.url, { token });
  client.send(text);
  const answer = await client.find(({ id }) => id === "p");
  expect(answer.error?.message).toMatch(
    /^invalid request frame: at .*: unexpected property '(__proto__|constructor)'$/,
  );
  expect(calls).toBe(0);
  // The word is no crime in a text.
  expect(
    (await client.request("echo", { text: "what is __proto__ and constructor.prototype?" })).payload.text,
  ).toContain("__proto__");
  await client.close();
});

test("nesting that would overflow a stack and ids that would fill a log are refused", async () => {
  await using gateway = await startGateway();
  const { client } = await connectClient(gateway.url, { token });
  client.send(
    `{"type":"req","id":"deep","method":"health","params":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
  );
  expect((await client.find(({ id }) => id === "deep")).error?.message).toBe(
    "invalid request frame: nested deeper than 256 levels",
  );
  client.send({ type: "req", id: "x".repeat(1_000_000), method: "health" });
  expect((await client.find(({ id }) => id === "invalid")).error?.message).toBe(
    "invalid request frame: at /id: must NOT have more than 256 characters",
  );
  await client.close();
});

test("no frame, however mangled, harms the gateway or anybody else on it", { timeout: 60_000 }, async () => {
  await using gateway = await startGateway();
  const { client: bystander } = await connectClient(gateway.url, { token });
  const json = fc.json({ maxDepth: 4 });
  const almost = fc.record(
    {
      type: fc.constantFrom("req", "res", "event", 7, null),
      id: fc.oneof(fc.string(), fc.integer(), fc.constant("__proto__")),
      method: fc.oneof(
        fc.constantFrom("health", "status", "system-presence", "connect", "toString", "__proto__", "no.such"),
        fc.string(),
      ),
      params: fc.oneof(fc.object({ maxDepth: 3 }), fc.jsonValue(), fc.constant(undefined)),
      extra: fc.jsonValue(),
    },
    { requiredKeys: ["type", "id"] },
  );
  const poisoned = json.map(
    (text) =>
      `{"type":"req","id":"z","method":"health","params":{"__proto__":${text},"constructor":{"prototype":${text}}}}`,
  );
  const mangled = fc.tuple(almost, fc.nat(), fc.string({ maxLength: 3 })).map(([frame, at, text]) => {
    const whole = JSON.stringify(frame);
    const cut = at % (whole.length + 1);
    return whole.slice(0, cut) + text + whole.slice(cut + 1);
  });
  const message = fc.oneof(
    json,
    fc.string(),
    almost.map((frame) => JSON.stringify(frame)),
    poisoned,
    mangled,
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  );
  let sent = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 15, maxLength: 15 }),
      fc.boolean(),
      async (messages, connected) => {
        const client = connected
          ? (await connectClient(gateway.url, { token })).client
          : await openClient(gateway.url);
        for (const each of messages) client.ws.send(each, () => undefined);
        sent += messages.length;
        client.ws.close();
        await client.closed;
      },
    ),
    { numRuns: 200 },
  );
  expect(sent).toBe(3_000);
  expect((await bystander.request("health")).ok).toBe(true);
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as Record<string, unknown>)["isAdmin"]).toBeUndefined();
  expect(gateway.logged.filter(({ level }) => level === "error")).toEqual([]);
  await bystander.close();
});

test("what a client sends before hello-ok waits for it, and is answered in its order", async () => {
  await using gateway = await startGateway();
  const client = await openClient(gateway.url);
  client.send({ type: "req", id: "c", method: "connect", params: connectParams });
  client.send({ type: "req", id: "h", method: "health" });
  expect((await client.find(({ id }) => id === "h")).ok).toBe(true);
  expect(client.frames.filter(({ type }) => type === "res").map(({ id }) => id)).toEqual(["c", "h"]);
  await client.close();
});

test.each([
  ["many", Array.from({ length: 65 }, () => "x")],
  ["large", ["x".repeat(40_000), "x".repeat(40_000)]],
])("frames that wait for hello-ok must not be too %s", async (_what, texts) => {
  await using gateway = await startGateway({ devices: () => new Promise(() => undefined) });
  const client = await openClient(gateway.url);
  const nonce = await client.nonce();
  const device = signDevice(createDevice(), connectParams, { version: "v3", nonce });
  client.send({ type: "req", id: "c", method: "connect", params: { ...connectParams, device } });
  for (const text of texts) client.send(text);
  expect(await client.closed).toEqual({ code: 1008, reason: "too many frames before hello-ok" });
});
