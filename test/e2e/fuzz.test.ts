import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { Ajv } from "ajv";
import { beforeAll, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { token } from "../support/product.ts";
import { residentBytes } from "../support/memory.ts";
import { type Client, connectClient, type Frame, openClient } from "../support/ws-client.ts";
import { isAnswer } from "./fuzz-answers.ts";
import { type FuzzFrame, fuzzFrames } from "./fuzz-frames.ts";

const seed = Number(process.env["RCLAW_FUZZ_SEED"] ?? 20_261_124);
const size = Number(process.env["RCLAW_FUZZ_FRAMES"] ?? 10_000);

const ajv = new Ajv({ allowUnionTypes: true });
const closed = { additionalProperties: false };
const isEvent = ajv.compile({
  type: "object",
  required: ["type", "event", "payload"],
  properties: {
    type: { const: "event" },
    event: { type: "string", minLength: 1 },
    payload: {},
    seq: { type: "integer", minimum: 0 },
    stateVersion: {
      type: "object",
      required: ["presence", "health"],
      properties: { presence: { type: "integer" }, health: { type: "integer" } },
      ...closed,
    },
  },
  ...closed,
});

/** What is wrong with the answers; one of each kind is enough to read. */
const faults = new Set<string>();

const product = freshForAll();
let methods: readonly string[];
beforeAll(async () => {
  const { client, answer } = await connectClient(product.url, { token });
  methods = [...answer.payload.features.methods, "connect", "no.such.method"];
  await client.close();
});

function send({ ws }: Client, { data, binary, fragments }: FuzzFrame): void {
  const bytes = Buffer.from(data);
  const length = Math.ceil(bytes.length / fragments);
  for (let i = 0; i < fragments; i++)
    ws.send(bytes.subarray(i * length, (i + 1) * length), { binary, fin: i === fragments - 1 });
}

function judge(frame: Frame, sent: ReadonlyMap<string, FuzzFrame>): void {
  const isValid = frame.type === "res" ? isAnswer : isEvent;
  if (!isValid(frame))
    faults.add(`no valid frame: ${ajv.errorsText(isValid.errors)}: ${JSON.stringify(frame).slice(0, 300)}`);
  const { message = "" } = frame.error ?? {};
  if (!/internal error|failed unexpectedly|\n\s+at |undefined|\[object/i.test(message)) return;
  const cause = sent
    .get(frame.id ?? "")
    ?.data.toString()
    .slice(0, 400);
  faults.add(`"${message}" to ${cause}`);
}

/** Sends frames on one connection after the other and waits until each request has its answer. */
async function fuzz(frames: readonly FuzzFrame[], scopes: readonly string[]): Promise<void> {
  const readable = frames.filter(({ data }) => isUtf8(Buffer.from(data)));
  for (let at = 0; at < readable.length; at += 250) {
    const { client } = await connectClient(product.url, { token, scopes, minProtocol: 3, maxProtocol: 4 });
    const sent = new Map<string, FuzzFrame>();
    for (const [i, frame] of readable.slice(at, at + 250).entries()) {
      send(client, frame);
      if (frame.id !== undefined) sent.set(frame.id, frame);
      // Now and then the gateway catches up, so that not everything waits in one buffer.
      if (i % 50 === 49) await client.request("health");
    }
    const missing = new Map(sent);
    const allAnswered = client.find(({ type, id = "" }) => {
      if (type === "res") missing.delete(id);
      return missing.size === 0;
    });
    if (sent.size > 0 && !(await inTime(allAnswered)))
      for (const { data } of missing.values()) faults.add(`no answer to ${data.toString().slice(0, 300)}`);
    for (const frame of client.frames) judge(frame, sent);
    const { code, reason } = await client.close();
    if (code !== 1005) faults.add(`closed ${code} ${reason}`);
  }
  // What is no text ends its connection.
  for (const frame of frames.filter(({ data }) => !isUtf8(Buffer.from(data)))) {
    const { client } = await connectClient(product.url, { token, scopes });
    send(client, frame);
    const end = await inTime(client.closed);
    if (end?.code !== 1007) faults.add(`invalid UTF-8 was answered with ${end?.code}`);
    client.ws.terminate();
  }
}

async function inTime<T>(wanted: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, 20_000, undefined)));
  try {
    return await Promise.race([wanted, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Another client, which only wants to know how the gateway is, and how long it takes to say so. */
async function bystander(): Promise<{ stop(): Promise<number[]> }> {
  const { client } = await connectClient(product.url, { token, scopes: ["operator.read"] });
  const times: number[] = [];
  const stopped = new AbortController();
  const asking = (async () => {
    while (!stopped.signal.aborted) {
      const before = performance.now();
      const { ok } = await client.request("health");
      times.push(performance.now() - before);
      if (!ok) faults.add("a bystander was refused");
      await pause(10);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await asking;
      for (const frame of client.frames) judge(frame, new Map());
      const numbers = client.frames.flatMap(({ type, seq }) =>
        type === "event" && seq !== undefined ? [seq] : [],
      );
      if (numbers.some((seq, i) => i > 0 && seq !== (numbers[i - 1] ?? 0) + 1))
        faults.add("a bystander's events have a gap");
      await client.close();
      return times.sort((a, b) => a - b);
    },
  };
}

test("SEC-017 SEC-019: frames that come before connect end in an answer or a closed socket", async () => {
  const frames = fuzzFrames(methods, Math.ceil(size * 0.15), seed + 1);
  const codes = new Map<number, number>();
  const worker = async (): Promise<void> => {
    for (let frame = frames.pop(); frame; frame = frames.pop()) {
      const client = await openClient(product.url);
      await client.nonce();
      send(client, frame);
      const answer = await inTime(client.find(({ type }) => type === "res").catch(() => undefined));
      const end = await inTime(answer?.ok ? client.close() : client.closed);
      for (const received of client.frames) judge(received, new Map());
      if (!end) faults.add(`neither answered nor closed: ${frame.data.toString().slice(0, 200)}`);
      else codes.set(end.code, (codes.get(end.code) ?? 0) + 1);
      client.ws.terminate();
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  expect([...faults]).toEqual([]);
  expect([...codes.keys()].filter((code) => ![1000, 1002, 1005, 1007, 1008, 1009].includes(code))).toEqual(
    [],
  );
}, 120_000);

test("SEC-019: bytes that are no WebSocket frames end their own socket only", async () => {
  const frames = fuzzFrames(methods, Math.ceil(size * 0.02), seed + 2);
  for (const { data } of frames) {
    const socket = net.connect(product.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(
      "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    await once(socket, "data");
    // Not masked, with opcodes and lengths as they fall.
    socket.end(Buffer.from(data));
    socket.resume();
    await once(socket, "close");
  }
  const { client, answer } = await connectClient(product.url, { token });
  expect(answer.ok).toBe(true);
  await client.close();
}, 60_000);

test("SEC-019 SEC-021: frames that come after connect are answered, and nobody else notices", async () => {
  const frames = fuzzFrames(methods, Math.floor(size * 0.83), seed);
  const seen = new Map<string, number>();
  for (const { method } of frames) if (method !== undefined) seen.set(method, (seen.get(method) ?? 0) + 1);
  expect(methods.filter((method) => (seen.get(method) ?? 0) < size / 1_000)).toEqual([]);
  const quarter = Math.ceil(frames.length / 4);
  const other = await bystander();
  const rss: number[] = [];
  for (let i = 0; i < 4; i++) {
    const part = frames.slice(i * quarter, (i + 1) * quarter);
    const half = part.length / 2;
    await Promise.all([
      fuzz(part.slice(0, half), ["operator.admin"]),
      fuzz(part.slice(half), i % 2 ? ["operator.admin"] : ["operator.read", "operator.write"]),
    ]);
    rss.push(await residentBytes(product.pid));
  }
  const times = await other.stop();
  expect([...faults]).toEqual([]);
  const [warm = 0] = rss;
  expect(Math.max(...rss) - warm, `resident bytes: ${rss.join()}`).toBeLessThan(64 * 1_024 * 1_024);
  // The gateway answers in a few milliseconds; what is more is other processes' share of the machine.
  expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(1_500);
  expect(times[Math.floor(times.length / 2)]).toBeLessThan(150);
}, 160_000);

test("nothing was left behind, written down as a failure or said to nobody", async () => {
  const log = await product.state.read("logs/gateway.log");
  expect(log.split("\n").filter((line) => /"level":(?:50|60)/.test(line))).toEqual([]);
  const known =
    /^(?:config(?:\.last-good)?\.json(?:\.bak(?:\.\d)?)?|cache(?:\/offers(?:\/[0-9a-f-]+\.json)?)?|gateway\.lock|logs(?:\/gateway\.log(?:\.1)?)?|identity(?:\/device\.json)?|devices(?:\/(?:paired|pending)\.json)?|plugins(?:\/(?:agent|approvals|cron|heartbeat|messages|nodes|voice)(?:\/storage\.json)?|\/\.staging|\/\.store|\/rclaw\.lock)?|workspace.*|credentials(?:\/[a-z]+-[a-zA-Z]+\.json)?|sessions|sessions\/(?:sessions\.json|runs\.json|journal-\d+\.jsonl|transcripts)|sessions\/transcripts\/[0-9a-f]{32}\.(?:(?:reset|deleted)\.[\dTZ.-]+\.)?jsonl)$/;
  expect((await readdir(product.stateDir, { recursive: true })).filter((file) => !known.test(file))).toEqual(
    [],
  );
  expect(await product.stop()).toBe(0);
  expect(product.stderr()).toBe("");
}, 30_000);
