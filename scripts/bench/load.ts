import { setTimeout as sleep } from "node:timers/promises";
import { median, quantile } from "./machine.ts";
import { openWire, requestFrame, type Wire } from "./wire.ts";

/** What the load process can be asked to do, with its answer. It keeps its connections from task to task. */
export interface Tasks {
  connect: { ask: { port: number; token: string; count: number }; answer: { seconds: number } };
  /** The same request again and again on every connection. */
  flood: {
    ask: { method: string; params: object; inFlight: number; forMs: number };
    answer: { count: number; perSecond: number; p99Ms: number };
  };
  /** Messages to many sessions over the first connection, each session one after another. */
  chat: {
    ask: { sessions: number; each: number; awaiting: "accepted" | "answered" };
    answer: { acceptedPerSecond: number; answeredPerSecond: number; p50Ms: number; p99Ms: number };
  };
  /** One event to every connection: how long after the gateway made it the clients have it. */
  broadcast: { ask: { rounds: number }; answer: { p50Ms: number; p99Ms: number; lastMs: number } };
  /** One more client, which asks for much at once and reads nothing of it. */
  stall: {
    ask: { port: number; token: string; method: string; params: object; times: number };
    answer: object;
  };
  /** One request, one at a time. */
  ask: {
    ask: { method: string; params: object; times: number };
    answer: { medianMs: number; p99Ms: number; bytes: number };
  };
  /** One request after the other with a pause between them, each method in its turn: what somebody waits who is not in a hurry. */
  probe: {
    ask: { methods: readonly string[]; params: object; everyMs: number; forMs: number };
    /** Milliseconds, for each method. */
    answer: { waits: readonly (readonly number[])[] };
  };
}

export type TaskName = keyof Tasks;
type Work = { [Name in TaskName]: (ask: Tasks[Name]["ask"]) => Promise<Tasks[Name]["answer"]> };

/** `{"type":"res"` and `{"type":"event"` differ in this byte. */
const kindAt = 9;
const isAnswer = (text: Buffer): boolean => text[kindAt] === 0x72;
/** In step, so that a slow start of one does not fill the gateway's waiting room. */
const handshakesAtOnce = 100;
const longestMs = 120_000;

/** The process that makes the load: it answers its parent's tasks until the channel closes. */
export function serveLoad(): void {
  const wires: Wire[] = [];
  const work: Work = {
    connect: (ask) => connectAll(wires, ask),
    flood: (ask) => flood(wires, ask),
    chat: (ask) => chat(firstOf(wires), ask),
    broadcast: (ask) => broadcast(wires, ask),
    stall,
    ask: (ask) => askOften(firstOf(wires), ask),
    probe: (ask) => probe(firstOf(wires), ask),
  };
  process.on("message", ({ name, ask }: { name: TaskName; ask: never }) => {
    work[name](ask).then(
      (answer) => process.send?.({ answer }),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  });
  process.on("disconnect", () => process.exit());
}

function firstOf(wires: readonly Wire[]): Wire {
  const [wire] = wires;
  if (!wire) throw new Error("connect first");
  return wire;
}

async function connectAll(
  wires: Wire[],
  { port, token, count }: Tasks["connect"]["ask"],
): Promise<Tasks["connect"]["answer"]> {
  const started = performance.now();
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) wires.push(await openWire({ port, token }));
  };
  await Promise.all(Array.from({ length: Math.min(handshakesAtOnce, count) }, lane));
  return { seconds: (performance.now() - started) / 1_000 };
}

async function flood(
  wires: readonly Wire[],
  { method, params, inFlight, forMs }: Tasks["flood"]["ask"],
): Promise<Tasks["flood"]["answer"]> {
  const frame = requestFrame("r", method, params);
  const waits: number[] = [];
  const started = performance.now();
  const until = started + forMs;
  let last = started;
  await Promise.all(
    wires.map(
      (wire) =>
        new Promise<void>((resolve, reject) => {
          const sentAt: number[] = [];
          const ask = (now: number): void => {
            sentAt.push(now);
            wire.send(frame);
          };
          wire.onText = (text) => {
            if (!isAnswer(text)) return;
            const now = performance.now();
            waits.push(now - (sentAt.shift() ?? now));
            last = now;
            if (waits.length === 1 && !text.includes('"ok":true')) reject(new Error(text.toString()));
            if (now < until) ask(now);
            else if (sentAt.length === 0) resolve();
          };
          for (let i = 0; i < inFlight; i++) ask(started);
        }),
    ),
  );
  return {
    count: waits.length,
    perSecond: waits.length / ((last - started) / 1_000),
    p99Ms: quantile(waits, 0.99),
  };
}

/** Runs of an earlier round must not be taken for runs of this one. */
let rounds = 0;

function chat(
  wire: Wire,
  { sessions, each, awaiting }: Tasks["chat"]["ask"],
): Promise<Tasks["chat"]["answer"]> {
  const round = `r${++rounds}`;
  const total = sessions * each;
  const sentAt = new Map<string, number>();
  const waits: number[] = [];
  const next = Array.from({ length: sessions }, () => 0);
  const started = performance.now();
  let accepted = 0;
  let answered = 0;
  let acceptedSeconds = 0;

  function ask(session: number): void {
    const count = next[session] ?? 0;
    if (count >= each) return;
    next[session] = count + 1;
    const key = `${round}-${session}-${count}`;
    sentAt.set(key, performance.now());
    wire.send(
      requestFrame(key, "chat.send", {
        sessionKey: `bench-${session}`,
        message: "ping",
        idempotencyKey: key,
      }),
    );
  }

  /** The session's turn goes on with what its key names. */
  function arrived(key: string, kind: "accepted" | "answered"): void {
    if (kind !== awaiting) return;
    waits.push(performance.now() - (sentAt.get(key) ?? 0));
    sentAt.delete(key);
    ask(Number(key.split("-")[1]));
  }

  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`${accepted} accepted and ${answered} answered of ${total}`)),
      longestMs,
    );
    wire.onText = (text) => {
      if (isAnswer(text)) {
        const message = text.toString("latin1");
        if (!message.includes('"ok":true')) return reject(new Error(message));
        accepted++;
        if (accepted === total) acceptedSeconds = (performance.now() - started) / 1_000;
        return arrived(/"id":"([^"]+)"/.exec(message)?.[1] ?? "", "accepted");
      }
      if (!isFinal(text)) return;
      const runId = /"runId":"([^"]+)"/.exec(text.toString("latin1"))?.[1] ?? "";
      if (!runId.startsWith(`${round}-`)) return;
      answered++;
      arrived(runId, "answered");
      if (answered < total) return;
      clearTimeout(late);
      resolve({
        acceptedPerSecond: total / acceptedSeconds,
        answeredPerSecond: total / ((performance.now() - started) / 1_000),
        p50Ms: median(waits),
        p99Ms: quantile(waits, 0.99),
      });
    };
    for (let session = 0; session < sessions; session++) ask(session);
  });
}

const chatEvent = Buffer.from('{"type":"event","event":"chat"');
const isFinal = (text: Buffer): boolean =>
  text.subarray(0, chatEvent.length).equals(chatEvent) && text.includes('"state":"final"');

async function broadcast(
  wires: readonly Wire[],
  { rounds: times }: Tasks["broadcast"]["ask"],
): Promise<Tasks["broadcast"]["answer"]> {
  const results: { p50: number; p99: number; last: number }[] = [];
  for (let i = 0; i < times; i++) {
    const waits = await one(wires);
    results.push({ p50: median(waits), p99: quantile(waits, 0.99), last: quantile(waits, 1) });
    await sleep(500);
  }
  return {
    p50Ms: median(results.map(({ p50 }) => p50)),
    p99Ms: median(results.map(({ p99 }) => p99)),
    lastMs: median(results.map(({ last }) => last)),
  };
}

/** A chat command is answered without a model: its one event goes to everybody. */
function one(wires: readonly Wire[]): Promise<readonly number[]> {
  const key = `b${++rounds}`;
  const waits: number[] = [];
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`only ${waits.length} of ${wires.length} got the event`)),
      longestMs,
    );
    for (const wire of wires) {
      wire.onText = (text) => {
        if (!isFinal(text) || !text.includes(key)) return;
        const now = performance.timeOrigin + performance.now();
        waits.push(now - Number(/"timestamp":(\d+)/.exec(text.toString("latin1"))?.[1]));
        if (waits.length < wires.length) return;
        clearTimeout(late);
        resolve(waits);
      };
    }
    firstOf(wires).send(
      requestFrame("b", "chat.send", {
        sessionKey: "bench-broadcast",
        message: "/help",
        idempotencyKey: key,
      }),
    );
  });
}

async function stall({ port, token, method, params, times }: Tasks["stall"]["ask"]): Promise<object> {
  const wire = await openWire({ port, token });
  wire.pause();
  const frame = requestFrame("s", method, params);
  for (let i = 0; i < times; i++) wire.send(frame);
  return {};
}

async function askOften(
  wire: Wire,
  { method, params, times }: Tasks["ask"]["ask"],
): Promise<Tasks["ask"]["answer"]> {
  const frame = requestFrame("q", method, params);
  const waits: number[] = [];
  let bytes = 0;
  for (let i = 0; i < times; i++) {
    const started = performance.now();
    bytes = (await exchange(wire, frame)).length;
    waits.push(performance.now() - started);
  }
  return { medianMs: median(waits), p99Ms: quantile(waits, 0.99), bytes };
}

async function exchange(wire: Wire, frame: Buffer): Promise<Buffer> {
  const text = await new Promise<Buffer>((resolve) => {
    wire.onText = (message) => (isAnswer(message) ? resolve(message) : undefined);
    wire.send(frame);
  });
  if (!text.includes('"ok":true')) throw new Error(text.toString("utf8", 0, 500));
  return text;
}

async function probe(
  wire: Wire,
  { methods, params, everyMs, forMs }: Tasks["probe"]["ask"],
): Promise<Tasks["probe"]["answer"]> {
  const probes = methods.map((method) => ({
    frame: requestFrame("p", method, method === "health" ? {} : params),
    waits: [] as number[],
  }));
  const until = performance.now() + forMs;
  while (performance.now() < until) {
    for (const { frame, waits } of probes) {
      const started = performance.now();
      await exchange(wire, frame);
      waits.push(performance.now() - started);
      await sleep(everyMs);
    }
  }
  return { waits: probes.map(({ waits }) => waits) };
}
