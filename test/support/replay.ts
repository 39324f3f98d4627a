import { readFileSync } from "node:fs";
import {
  type Client,
  type Closed,
  createDevice,
  type Device,
  type Frame,
  openClient,
  signDevice,
  type SignedParams,
} from "./ws-client.ts";

/** One line of a recording: what a client sent, what it was answered, how the socket ended. */
export interface Line {
  readonly case: string;
  readonly dir?: "open" | "->" | "<-" | "close";
  readonly frame?: RecordedFrame | string;
  readonly binary?: boolean;
  readonly code?: number;
  readonly reason?: string;
}

interface RecordedFrame extends Frame {
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

/** What was not recorded and a connection needs all the same. */
export interface Conditions {
  readonly url: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The recorded device's private key is not known: another device signs in its place. */
  readonly sign?: { readonly version: "v1" | "v2" | "v3"; readonly ageMs?: number };
  readonly tamper?: Readonly<Record<string, unknown>>;
  /** Runs before each line is played: for what happened beside the wire, and for frames too large to keep. */
  before?(line: Line, client: Client): void;
}

/**
 * What was recorded, in its order. Cases that ran at the same time share the part of
 * their name before a slash. A later file may hold more of a case than an earlier one.
 */
export function readGroups(...files: readonly string[]): ReadonlyMap<string, readonly Line[]> {
  let all: Line[] = [];
  for (const file of files) {
    const lines = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((text) => JSON.parse(text) as Line)
      .filter((line) => line.case !== undefined);
    const names = new Set(lines.map((line) => line.case));
    all = [...all.filter((line) => !names.has(line.case)), ...lines];
  }
  const groups = new Map<string, Line[]>();
  for (const line of all) {
    const [group = ""] = line.case.split("/");
    groups.set(group, [...(groups.get(group) ?? []), line]);
  }
  return groups;
}

/**
 * Plays one or more connections that were recorded together. Before each request the
 * answers and events recorded up to there are waited for, so the order of cause and
 * effect is the recorded one. Returns what differs, case by case.
 */
export async function replay(
  lines: readonly Line[],
  conditions: (name: string) => Conditions,
  memory: Memory,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const connections = new Map<string, Connection>();
  try {
    for (const line of lines) {
      const known = connections.get(line.case);
      const connection = known ?? (await Connection.open(conditions(line.case), memory));
      connections.set(line.case, connection);
      if (!connection.isOver) await connection.play(line);
    }
    const result = new Map<string, readonly string[]>();
    for (const [name, connection] of connections) {
      connection.compareStories(lines.filter((line) => line.case === name));
      result.set(name, [...new Set(connection.differences)]);
    }
    return result;
  } finally {
    for (const { client } of connections.values()) client.ws.terminate();
  }
}

/** Recorded values that later frames repeat, with ours in their place, and a device for each recorded one. */
export interface Memory {
  readonly values: Map<string, unknown>;
  readonly devices: Map<string, Device>;
}

export const createMemory = (): Memory => ({ values: new Map(), devices: new Map() });

class Connection {
  readonly client: Client;
  readonly differences: string[] = [];
  /** The gateway's answer took another turn: the rest of the recording has nothing to compare with. */
  isOver = false;
  readonly #conditions: Conditions;
  readonly #nonce: string;
  readonly #memory: Memory;
  readonly #methods = new Map<string, string>();
  readonly #answers = new Map<string, number>();
  readonly #events = new Map<string, number>();

  private constructor(client: Client, conditions: Conditions, nonce: string, memory: Memory) {
    this.client = client;
    this.#conditions = conditions;
    this.#nonce = nonce;
    this.#memory = memory;
  }

  static async open(conditions: Conditions, memory: Memory): Promise<Connection> {
    const { url, path = "", headers } = conditions;
    const client = await openClient(`${url}${path}`, headers ? { headers } : {});
    return new Connection(client, conditions, await client.nonce(), memory);
  }

  async play(line: Line): Promise<void> {
    this.#conditions.before?.(line, this.client);
    if (line.dir === "close") return this.#close(line);
    if (line.frame === undefined) return;
    if (line.dir === "->") return this.#send(line);
    if (typeof line.frame === "string") return;
    if (line.frame.type === "res") return this.#expectAnswer(line.frame);
    if (line.frame.type === "event") return this.#expectEvent(line.frame);
  }

  #send({ frame, binary = false }: Line): void {
    if (frame === undefined) return;
    if (typeof frame === "string") return this.client.send(frame, { binary });
    if (typeof frame.id === "string") this.#methods.set(frame.id, frame.method ?? "frame");
    if (frame.method === "connect") return this.client.send(this.#signed(frame), { binary });
    this.client.send(replaced(frame, this.#memory.values), { binary });
  }

  /** The recorded device's key is not known: one of ours stands for it, the same every time. */
  #signed(frame: RecordedFrame): unknown {
    const { sign, tamper } = this.#conditions;
    const recorded = frame.params?.["device"] as { id: string; publicKey: string } | undefined;
    const { values, devices } = this.#memory;
    if (!recorded) return replaced(frame, values);
    const device = devices.get(recorded.publicKey) ?? createDevice();
    devices.set(recorded.publicKey, device);
    values.set(recorded.publicKey, device.publicKey);
    if (tamper?.["id"] === undefined) values.set(recorded.id, device.id);
    const params = replaced(frame.params, values) as SignedParams;
    const { version, ageMs = 0 } = sign ?? { version: "v3" };
    const signed = signDevice(device, params, {
      version,
      nonce: this.#nonce,
      signedAt: Date.now() - ageMs,
    });
    return { ...frame, params: { ...params, device: { ...signed, ...tamper } } };
  }

  async #expectAnswer(wanted: RecordedFrame): Promise<void> {
    const id = wanted.id ?? "";
    const nth = this.#answers.get(id) ?? 0;
    this.#answers.set(id, nth + 1);
    const actual = await this.#next((frame) => frame.type === "res" && frame.id === id, nth);
    const label = this.#methods.get(id) ?? id;
    if (!actual) {
      this.differences.push(`${label}: no answer`);
      this.isOver = true;
      return;
    }
    if (actual.ok === wanted.ok) {
      this.#compare(
        label,
        actual.ok ? actual.payload : actual.error,
        wanted.ok ? wanted.payload : wanted.error,
      );
      return;
    }
    const told = ({ ok, error }: Frame): string => (ok ? "ok" : `${error?.code} "${error?.message}"`);
    this.differences.push(`${label}: ${told(actual)} instead of ${told(wanted)}`);
    this.isOver = label === "connect";
  }

  #compare(label: string, actual: unknown, wanted: unknown, masked: readonly string[] = []): void {
    const { values } = this.#memory;
    remember(wanted, actual, values);
    this.differences.push(...compare(label, actual, replaced(wanted, values), masked));
  }

  /** Of a stream's many events only the kind is waited for; `compareStories` looks at the whole. */
  async #expectEvent(wanted: Frame): Promise<void> {
    const kind = kindOf(wanted);
    if (kind === undefined) return;
    // Pieces of a stream are many, other events are counted.
    const isRun = runOf(wanted) !== undefined;
    const nth = isRun ? 0 : (this.#events.get(kind) ?? 0);
    this.#events.set(kind, nth + 1);
    const actual = await this.#next((frame) => kindOf(frame) === kind, nth);
    if (!actual) {
      this.differences.push(`${kind}: no such event`);
      return;
    }
    const isPiece = /assistant$|chat:(?:delta|aborted)$/.test(kind);
    this.#compare(
      kind.replace(/^\S+ /, ""),
      actual.payload,
      wanted.payload,
      isPiece ? ["text", "delta"] : [],
    );
  }

  async #close({ code, reason }: Line): Promise<void> {
    const isOurs = code === undefined || code === 1005;
    const closed: Closed | undefined = await inTime(isOurs ? this.client.close() : this.client.closed);
    if (isOurs || (closed?.code === code && closed?.reason === reason)) return;
    this.differences.push(`closed ${closed?.code} "${closed?.reason}" instead of ${code} "${reason}"`);
  }

  async #next(test: (frame: Frame) => boolean, nth: number): Promise<Frame | undefined> {
    const matching = (): Frame[] => this.client.frames.filter(test);
    await inTime(
      this.client.find(() => matching().length > nth).catch(() => undefined),
      5_000,
    );
    return matching()[nth];
  }

  /** Order of answers and events, where the recording has runs; health and presence come when they like. */
  compareStories(lines: readonly Line[]): void {
    const recorded = lines.flatMap(({ dir, frame }) =>
      dir === "<-" && typeof frame === "object" ? [frame] : [],
    );
    if (!recorded.some((frame) => kindOf(frame)?.includes("agent:"))) return;
    for (const run of new Set(recorded.flatMap((frame) => runOf(frame) ?? []))) {
      const wanted = story(recorded, run, this.#methods);
      const actual = story(this.client.frames, run, this.#methods);
      if (actual.join() !== wanted.join())
        this.differences.push(`${run}: ${actual.join(" ")} instead of ${wanted.join(" ")}`);
      this.differences.push(...streamFaults(this.client.frames, run).map((fault) => `${run}: ${fault}`));
      const [said, was] = [lastText(this.client.frames, run), lastText(recorded, run)];
      if (said !== was) this.differences.push(`${run}: says "${said}" instead of "${was}"`);
    }
  }
}

/** What does not come in time does not come; a silent client is closed after 10 s. */
async function inTime<T>(wanted: Promise<T>, ms = 12_000): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, ms, undefined)));
  try {
    return await Promise.race([wanted, late]);
  } finally {
    clearTimeout(timer);
  }
}

function runOf({ event, payload }: Frame): string | undefined {
  if (event !== "agent" && event !== "chat") return undefined;
  return unnumbered((payload as { runId: string }).runId);
}

/** What is injected is a run of its own, with a number made up for it. */
const unnumbered = (text: string): string => text.replace(/^inject-[0-9a-f-]+$/, "inject");

/** `<run> agent:lifecycle:start`, `<run> chat:delta`, ... of the two events that tell of runs, and `shutdown`. */
function kindOf(frame: Frame): string | undefined {
  const { event, payload } = frame;
  // These come when they like.
  if (event === "connect.challenge" || event === "health" || event === "presence") return undefined;
  const run = runOf(frame);
  if (run === undefined) return event;
  const { stream, state, data } = payload as { stream?: string; state?: string; data?: { phase?: string } };
  return `${run} ${[event, stream, state, data?.phase].filter((part) => part !== undefined).join(":")}`;
}

/** A run's answers and events in order; how many pieces the text came in is the clock's business. */
function story(frames: readonly Frame[], run: string, methods: ReadonlyMap<string, string>): string[] {
  const parts = frames.flatMap((frame) => {
    if (frame.type === "res" && frame.payload?.runId === run && frame.payload?.status !== undefined) {
      return [`${methods.get(frame.id ?? "")}=${String(frame.payload.status)}`];
    }
    if (runOf(frame) !== run) return [];
    const kind = (kindOf(frame) ?? "").slice(run.length + 1);
    return [kind === "agent:assistant" || kind === "chat:delta" ? "text" : kind];
  });
  return parts.filter((part, i) => part !== "text" || parts[i - 1] !== "text");
}

/** Text must only grow, its pieces must add up to it, and the last `chat` piece must hold all of it. */
export function streamFaults(frames: readonly Frame[], run: string): string[] {
  const faults: string[] = [];
  let text = "";
  let chat = "";
  const last = { agent: 0, chat: 0 };
  for (const frame of frames.filter((frame) => runOf(frame) === run)) {
    const { stream, state, data = {}, seq, message } = frame.payload;
    const event = frame.event === "agent" ? "agent" : "chat";
    // A chat event has the number of the agent event it came from, so it may repeat one.
    if (event === "agent" ? seq <= last.agent : seq < last.chat)
      faults.push(`${event} event ${seq} after ${last[event]}`);
    last[event] = seq;
    if (stream === "tool") text = chat = "";
    if (stream === "assistant") {
      text += data.delta;
      if (text !== data.text) faults.push(`the pieces say "${text}", the text "${data.text}"`);
    }
    if (state === "delta") chat = message.content[0].text;
    if (state === "delta" && !text.startsWith(chat)) faults.push(`chat runs ahead: "${chat}"`);
    if (state === "final" && text !== "" && chat !== message?.content[0].text)
      faults.push(`the last chat delta "${chat}" is not the whole text`);
  }
  return faults;
}

function lastText(frames: readonly Frame[], run: string): string | undefined {
  const last = frames.findLast(
    (frame) => runOf(frame) === run && ["final", "aborted"].includes(frame.payload.state),
  );
  const text: unknown = last?.payload.message?.content[0].text;
  return typeof text === "string" && !text.includes("\n") ? text : undefined;
}

/** Members whose values are made up anew and come back later; where both sides have text, ours stands for theirs. */
const repeated = new Set([
  ...["hash", "raw", "deviceToken", "token", "requestId", "deviceId", "publicKey", "nodeId"],
  ...["sessionId", "messageId", "jobId", "id"],
]);

function remember(wanted: unknown, actual: unknown, values: Map<string, unknown>): void {
  if (Array.isArray(wanted) && Array.isArray(actual))
    return wanted.forEach((item, i) => remember(item, actual[i], values));
  if (!isObject(wanted) || !isObject(actual)) return;
  for (const [key, before] of Object.entries(wanted)) {
    const now = actual[key];
    const isKnown = typeof before !== "string" || values.has(before) || (key === "id" && !isUuid(before));
    if (repeated.has(key) && !isKnown && typeof now === "string") values.set(before, now);
    remember(before, now, values);
  }
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/.test(text);
}

function replaced(value: unknown, memory: ReadonlyMap<string, unknown>): unknown {
  if (typeof value === "string") return memory.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item) => replaced(item, memory));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, memory)]));
}

/** Of these only the type counts: times, ids, places, names of models, who else is there. */
const volatile = new Set([
  ...[
    "ts",
    "updatedAt",
    "startedAt",
    "endedAt",
    "acceptedAt",
    "issuedAtMs",
    "timestamp",
    "durationMs",
    "age",
    "uptimeMs",
    "anchorMs",
    "generatedAt",
  ],
  ...["sessionId", "connId", "instanceId", "deviceToken", "hash", "raw", "nonce", "presence", "health"],
  ...[
    "path",
    "configPath",
    "stateDir",
    "host",
    "ip",
    "version",
    "platform",
    "deviceFamily",
    "modelIdentifier",
  ],
  ...["provider", "model", "modelProvider", "api", "contextTokens", "prompt", "retryAfterMs", "seq"],
]);
const isVolatile = (name: string): boolean => volatile.has(name) || name.endsWith("AtMs");
/** How many there are depends on what is installed: the first stands for all, by its shape. */
const openLists = new Set(["methods", "events", "models", "paths", "presence"]);

/** What `actual` lacks, has on top, or has differently. Volatile and masked members only need the same type. */
function compare(label: string, actual: unknown, wanted: unknown, masked: readonly string[] = []): string[] {
  const found: string[] = [];
  const walk = (now: unknown, then: unknown, path: string, isLoose: boolean): void => {
    if (Array.isArray(now) && Array.isArray(then)) return walkList(now, then, path, isLoose);
    if (isObject(now) && isObject(then)) {
      for (const [name, value] of Object.entries(then)) {
        const here = `${path}/${name}`;
        const loose = isLoose || isVolatile(name) || masked.includes(name);
        if (!Object.hasOwn(now, name)) found.push(`${label}: ${here} is missing`);
        else if (!loose || !isStructure(value) || openLists.has(name)) walk(now[name], value, here, loose);
      }
      for (const name of Object.keys(now))
        if (!Object.hasOwn(then, name)) found.push(`${label}: ${path}/${name} is new`);
      return;
    }
    const isSame = isLoose ? typeof now === typeof then : masks(now) === masks(then);
    if (!isSame)
      found.push(`${label}: ${path || "/"} is ${JSON.stringify(now)} instead of ${JSON.stringify(then)}`);
  };
  const walkList = (
    now: readonly unknown[],
    then: readonly unknown[],
    path: string,
    isLoose: boolean,
  ): void => {
    if (path === "/messages") return walkMessages(now, then);
    const isOpen = openLists.has(path.split("/").at(-1) ?? "");
    if (!isOpen && now.length !== then.length)
      found.push(`${label}: ${path || "/"} has ${now.length} instead of ${then.length}`);
    const length = Math.min(isOpen ? 1 : Infinity, now.length, then.length);
    for (let i = 0; i < length; i++) walk(now[i], then[i], `${path}/${i}`, isLoose || isOpen);
  };
  /** A message that only one side has must not shift all that follow. */
  const walkMessages = (now: readonly unknown[], then: readonly unknown[]): void => {
    let next = 0;
    for (const [i, message] of then.entries()) {
      const kind = kindOfMessage(message);
      if (kind !== kindOfMessage(now[next])) found.push(`${label}: /messages/${i}, ${kind}, is missing`);
      else walk(now[next++], message, `/messages/${i}`, false);
    }
    if (next < now.length) found.push(`${label}: /messages has ${now.length - next} more`);
  };
  walk(actual, wanted, "", false);
  return found;
}

function kindOfMessage(message: unknown): string {
  const { role, content, stopReason } = (message ?? {}) as {
    role?: string;
    content?: { type?: string }[];
    stopReason?: string;
  };
  return [role, content?.[0]?.type, stopReason].filter((part) => part !== undefined).join(" ");
}

/** Stored messages carry the time they came in their text. */
function masks(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return unnumbered(value).replaceAll(/\[(?:\w{3} )?\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? [^\]]+\]/g, "[time]");
}

function isStructure(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
