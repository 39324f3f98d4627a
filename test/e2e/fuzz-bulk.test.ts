import http from "node:http";
import { Ajv } from "ajv";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { type MemoryProbe, memoryProbe } from "../support/memory.ts";
import { type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";
import { connectClient, createDevice, type Device, type Frame } from "../support/ws-client.ts";
import { isAnswer, results } from "./fuzz-answers.ts";
import { httpFuzz, sendHttp } from "./fuzz-http.ts";
import { type MethodFuzz, methodFuzz } from "./fuzz-methods.ts";

const seed = Number(process.env["RCLAW_FUZZ_SEED"] ?? 20_261_129);
/** Together with the frames of the other fuzz these are 200,000. */
const frames = Number(process.env["RCLAW_FUZZ_BULK"] ?? 190_000);
const requests = Number(process.env["RCLAW_FUZZ_HTTP"] ?? 50_000);
const batch = 250;
/** A node that asks eleven times in a row for what it may not is sent away. */
const batchOfNodes = 8;
const perConnection = 2_500;
const maxGrowth = 24 * 1_048_576;

let state: TempState;
let probe: MemoryProbe;
let product: Product;
let fuzz: readonly MethodFuzz[];
/** What is wrong with the answers; one of each kind is enough to read. */
const faults = new Map<string, string>();
const fault = (kind: string, example: unknown): void => {
  if (faults.size < 20 && !faults.has(kind)) faults.set(kind, JSON.stringify(example)?.slice(0, 400) ?? "");
};

beforeAll(async () => {
  state = await tempState();
  probe = memoryProbe((await tempState()).dir);
  product = await startProduct({ stateDir: state.dir, env: probe.env });
  const { client, answer } = await connectClient(product.url, { token });
  fuzz = await methodFuzz([...answer.payload.features.methods, "no.such.method"]);
  await client.close();
});

interface Role {
  readonly role?: string;
  readonly scopes: readonly string[];
  readonly device?: Device;
}
const roles: readonly Role[] = [
  { scopes: ["operator.admin"], device: createDevice() },
  { scopes: ["operator.read", "operator.write"] },
  { scopes: ["operator.read", "operator.approvals", "operator.pairing"] },
  { role: "node", scopes: [], device: createDevice() },
];

interface Sent {
  readonly method: string;
  readonly params: unknown;
}

function judge(frame: Frame, sent: Sent | undefined): void {
  if (!isAnswer(frame)) return fault(`no valid answer: ${ajv.errorsText(isAnswer.errors)}`, { frame, sent });
  if (!sent) return fault("an answer to nobody", frame);
  const { message = "" } = frame.error ?? {};
  if (/internal error|failed unexpectedly|\n\s+at |undefined|\[object/i.test(message)) fault(message, sent);
  const isResult = frame.ok === true ? results.get(sent.method) : undefined;
  if (isResult && !isResult(frame.payload))
    fault(`${sent.method}: ${ajv.errorsText(isResult.errors)}`, { frame, sent });
}
const ajv = new Ajv();

/** One connection's worth of frames; resolves with how many went out. */
async function converse(role: Role, count: number, streamOf: Iterator<Sent>): Promise<number> {
  const { client, answer } = await connectClient(product.url, {
    token,
    caps: ["tool-events"],
    maxProtocol: 4,
    ...role,
    ...(role.role === "node" && { client: { id: "node-host", mode: "node" } }),
  });
  if (!answer.ok) throw new Error(`refused: ${answer.error?.message}`);
  const open = new Map<string, Sent>();
  const twice = new Set(["agent"]);
  let wake = (): void => undefined;
  client.ws.on("message", () => {
    const frame = client.frames.at(-1) as Frame;
    if (frame.type !== "res") return;
    const sent = open.get(frame.id ?? "");
    judge(frame, sent);
    // It is answered a second time when the run has ended.
    const isEarly = sent && twice.has(sent.method) && frame.payload?.status === "accepted";
    if (!isEarly) open.delete(frame.id ?? "");
    if (open.size === 0) wake();
  });
  const end = { isOver: false };
  void client.closed.then(() => {
    end.isOver = true;
    wake();
  });
  function ask(id: string, sent: Sent): void {
    open.set(id, sent);
    client.send({ type: "req", id, ...sent });
  }
  let total = 0;
  while (total < count && !end.isOver) {
    const size = role.role === "node" ? batchOfNodes : batch;
    for (let i = 0; i < size && total < count; i++, total++) ask(`f${total}`, streamOf.next().value as Sent);
    if (!(await answered())) return total;
    ask(`h${total}`, { method: "health", params: {} });
    if (!(await answered())) return total;
  }
  const { code, reason } = await client.close();
  if (code !== 1005) fault(`closed ${code} ${reason}`, role);
  return total;

  async function answered(): Promise<boolean> {
    if (open.size > 0 && !end.isOver) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, 40_000);
      });
      clearTimeout(timer);
    }
    for (const sent of open.values()) fault(`no answer to ${sent.method}`, sent);
    return open.size === 0;
  }
}

/** Frames in lots, so that making them and sending them take turns. */
function* stream(part: number): Generator<Sent, never> {
  const any = fc.oneof(
    ...fuzz.map(({ method, params }) =>
      params.map((value): Sent => ({ method, params: keyed(value, part) })),
    ),
  );
  for (let lot = 0; ; lot++) yield* fc.sample(any, { numRuns: 1_000, seed: seed + part * 10_007 + lot });
}

let keys = 0;
/** Most runs are new ones: the same key again is answered from what is known. */
function keyed(params: unknown, part: number): unknown {
  if (typeof params !== "object" || params === null || !("idempotencyKey" in params)) return params;
  const isPlain = typeof params.idempotencyKey === "string" && params.idempotencyKey.length < 10;
  return isPlain && ++keys % 4 > 0 ? { ...params, idempotencyKey: `k${part}-${keys}` } : params;
}

test("SEC-019 SEC-021: 190,000 requests of every role to every method are answered in the protocol's shapes, and leave nothing in memory", async () => {
  // Nodes are refused nearly everything, a few at a time.
  const shareOf = ({ role }: Role): number => Math.ceil(frames * (role === "node" ? 0.04 : 0.32));
  const held: number[] = [];
  const resident: number[] = [];
  const streams = roles.map((_role, part) => stream(part));
  const rounds = 5;
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      roles.map(async (role, part) => {
        const source = streams[part];
        if (!source) return;
        let left = Math.ceil(shareOf(role) / rounds);
        while (left > 0 && faults.size < 10)
          left -= Math.max(1, await converse(role, Math.min(left, perConnection), source));
      }),
    );
    const { heapUsed, rss } = await probe.ask(product.pid);
    held.push(heapUsed);
    resident.push(rss);
  }
  expect([...faults]).toEqual([]);
  // The first round fills what is kept of runs and sessions, up to its bounds.
  const [, warm = 0] = held;
  const told = `heap ${held.map(megabytes).join()} MB, resident ${resident.map(megabytes).join()} MB`;
  expect((held.at(-1) ?? 0) - warm, told).toBeLessThan(maxGrowth);
}, 400_000);

const megabytes = (bytes: number): string => (bytes / 1_048_576).toFixed(1);

test("SEC-046: 50,000 HTTP requests get a plain answer or none, and leave nothing in memory", async () => {
  faults.clear();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const known = new Set([
    101, 200, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 416, 417,
    426, 429, 431, 503,
  ]);
  const statuses = new Map<number, number>();
  const held: number[] = [];
  for (let lot = 0; lot < 5; lot++) {
    const all = httpFuzz(requests / 5, seed + lot);
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let one = all.pop(); one; one = all.pop()) {
          const answer = await sendHttp(product.port, one, agent);
          const { status = 0, headers = {}, text = "" } = answer ?? {};
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (!answer) continue;
          if (!known.has(status)) fault(`status ${status}`, { one, text });
          if (/\n\s+at |node_modules|\/home\/|internal error/i.test(text) && status >= 400)
            fault("a trace", { one, text });
          if (text.includes(token) || text.includes(state.dir)) fault("a secret", one);
          if (status < 400 && headers["x-content-type-options"] !== "nosniff")
            fault("sniffable", { one, headers });
        }
      }),
    );
    held.push((await probe.ask(product.pid)).heapUsed);
  }
  agent.destroy();
  expect([...faults]).toEqual([]);
  expect((held.at(-1) ?? 0) - (held[0] ?? 0), held.map(megabytes).join()).toBeLessThan(maxGrowth / 3);
  // Most are answered; what has no answer asked for a socket, or was none of HTTP.
  expect(statuses.get(0) ?? 0, JSON.stringify([...statuses])).toBeLessThan(requests / 5);
  const { client, answer } = await connectClient(product.url, { token });
  expect(answer.ok).toBe(true);
  await client.close();
}, 200_000);

test("nothing failed in between, and the gateway ends as it should", async () => {
  const log = await state.read("logs/gateway.log");
  expect(log.split("\n").filter((line) => /"level":(?:50|60)/.test(line))).toEqual([]);
  expect(await product.stop()).toBe(0);
  expect(product.stderr()).toBe("");
}, 60_000);
