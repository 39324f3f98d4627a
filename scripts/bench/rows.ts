import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { attackRows, installStrangers, strangersConfig } from "./attack.ts";
import type { TaskName, Tasks } from "./load.ts";
import { cpuSecondsOf, median, memoryOf, openFileLimit, settledMemory } from "./machine.ts";
import { type Running, startBareServer, startGateway, tempState, timeCommand, token } from "./subject.ts";
import { lists, slowConsumer } from "./lists.ts";
import { plugins } from "./plugins.ts";
import { startTelegram } from "./telegram.ts";
import { openWire } from "./wire.ts";

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it should reach, and what it must not pass. */
  readonly goal?: number;
  readonly limit?: number;
  readonly better?: "lower" | "higher";
  readonly note?: string;
}

export interface BenchOptions {
  /** The Node that runs what is measured. */
  readonly node: string;
  /** Fewer rounds and connections, for a first look. */
  readonly quick: boolean;
  /** The file to run again as the load process. */
  readonly self: string;
}

type Measure = (options: BenchOptions) => Promise<readonly Row[]>;

/** In the order of the table. Each starts what it measures and leaves nothing behind. */
export const measures: Readonly<Record<string, Measure>> = {
  floor,
  idle,
  start,
  commands,
  connections,
  requests,
  lists: (options) => lists(options, loaded),
  slow: (options) => slowConsumer(options, loaded),
  chat,
  history,
  plugins: async (options) => [...(await plugins(options)), ...(await attacked(options))],
};

const settleMs = 2_500;
/** V8 waits 8 s before it hands back what the start needed; the same after a rush. */
const idleMs = 11_000;
const round = (value: number, digits = 0): number => Number(value.toFixed(digits));

async function floor({ node, quick }: BenchOptions): Promise<readonly Row[]> {
  const starts: number[] = [];
  const memory: number[] = [];
  for (let i = 0; i < (quick ? 2 : 5); i++) {
    const bare = await startBareServer(node);
    starts.push(performance.now() - bare.spawnedAt);
    memory.push((await settledMemory(bare.pid, 1_000)).rssMb);
    await bare.stop();
  }
  return [
    { name: "bare Node, http + crypto: idle memory", value: round(median(memory), 1), unit: "MB" },
    { name: "bare Node, http + crypto: start to listening", value: round(median(starts)), unit: "ms" },
  ];
}

async function idle({ node, quick }: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  await using telegram = await startTelegram();
  const withTelegram = {
    channels: { telegram: { botToken: telegram.botToken, apiRoot: telegram.url, dmPolicy: "pairing" } },
  };
  for (const [name, config] of [
    ["idle memory", {}],
    ["idle memory, Telegram polling", withTelegram],
  ] as const) {
    const sizes: number[] = [];
    const anonymous: number[] = [];
    for (let i = 0; i < (quick ? 1 : 3); i++) {
      await using state = await tempState(config);
      const polled = telegram.polls;
      const gateway = await startGateway(node, state.dir, { screen: true });
      const { rssMb, anonymousMb = 0 } = await settledMemory(gateway.pid, idleMs);
      if (config === withTelegram && telegram.polls === 0)
        throw new Error("the gateway did not poll Telegram");
      if (config !== withTelegram && telegram.polls > polled)
        throw new Error("nobody should poll Telegram here");
      sizes.push(rssMb);
      anonymous.push(anonymousMb);
      await gateway.stop();
    }
    const note = `anonymous ${round(median(anonymous), 1)} MB`;
    rows.push({
      name,
      value: round(median(sizes), 1),
      unit: "MB",
      goal: 50,
      limit: 56,
      better: "lower",
      note,
    });
  }
  return rows;
}

async function start({ node, quick }: BenchOptions): Promise<readonly Row[]> {
  await using state = await tempState();
  const times: number[] = [];
  for (let i = 0; i < (quick ? 3 : 9); i++) {
    const gateway = await startGateway(node, state.dir);
    const wire = await openWire({ port: gateway.port, token });
    times.push(performance.now() - gateway.spawnedAt);
    wire.end();
    await gateway.stop();
  }
  const [first = 0, ...warm] = times;
  return [
    { name: "first start to hello-ok", value: round(first), unit: "ms" },
    {
      name: "start to hello-ok",
      value: round(median(warm)),
      unit: "ms",
      goal: 200,
      limit: 400,
      better: "lower",
      note: `best ${round(Math.min(...warm))}`,
    },
  ];
}

async function commands({ node, quick }: BenchOptions): Promise<readonly Row[]> {
  await using state = await tempState();
  const times = quick ? 3 : 7;
  const measure = async (args: readonly string[]): Promise<number> => {
    const all: number[] = [];
    for (let i = 0; i < times; i++) all.push(await timeCommand(node, args, state.dir));
    return round(median(all));
  };
  const help = await measure(["--help"]);
  const version = await measure(["--version"]);
  const alone = await measure(["status", "--json"]);
  const gateway = await startGateway(node, state.dir);
  const status = await measure(["status", "--json"]);
  await gateway.stop();
  return [
    { name: "rclaw --version", value: version, unit: "ms" },
    { name: "rclaw --help", value: help, unit: "ms", goal: 130, better: "lower" },
    { name: "rclaw status, no gateway", value: alone, unit: "ms" },
    { name: "rclaw status, asking the gateway", value: status, unit: "ms" },
  ];
}

/** Memory of idle clients, the handshakes that made them, and one event to all. */
async function connections(options: BenchOptions): Promise<readonly Row[]> {
  const wanted = options.quick ? 2_000 : 10_000;
  const count = Math.min(wanted, openFileLimit() - 500);
  const note = count < wanted ? `only ${count}: the open file limit is ${openFileLimit()}` : undefined;
  await using subject = await loaded(options);
  const { gateway, load } = subject;
  const before = await settledMemory(gateway.pid, settleMs);
  const cpuBefore = cpuSecondsOf(gateway.pid) ?? 0;
  const { seconds } = await load.ask("connect", { port: gateway.port, token, count });
  const cpu = (cpuSecondsOf(gateway.pid) ?? 0) - cpuBefore;
  const peak = memoryOf(gateway.pid);
  const held = await settledMemory(gateway.pid, idleMs);
  const { p50Ms, p99Ms, lastMs } = await load.ask("broadcast", { rounds: options.quick ? 3 : 7 });
  const thousands = `${count.toLocaleString("en")} connections`;
  return [
    {
      name: `${thousands}, idle: memory each`,
      value: round(((held.rssMb - before.rssMb) * 1_024) / count, 2),
      unit: "KB",
      goal: 6,
      better: "lower",
      note: [
        note,
        `${round(before.rssMb, 1)} to ${round(held.rssMb, 1)} MB, ${round(peak.rssMb, 1)} right after`,
      ]
        .filter(Boolean)
        .join("; "),
    },
    {
      name: "handshakes",
      value: round(count / seconds),
      unit: "/s",
      note: `${round((cpu * 1_000_000) / count)} us CPU each`,
    },
    {
      name: `one event to ${thousands}, p99`,
      value: round(p99Ms, 1),
      unit: "ms",
      ...(count === 10_000 && { goal: 200, better: "lower" as const }),
      note: `p50 ${round(p50Ms, 1)}, last ${round(lastMs, 1)}`,
    },
  ];
}

async function requests(options: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const [count, inFlight, goal] of [
    [100, 1, 30_000],
    [100, 8, undefined],
    [1, 1, undefined],
  ] as const) {
    await using subject = await loaded(options);
    const { gateway, load } = subject;
    await load.ask("connect", { port: gateway.port, token, count });
    const flood = { method: "health", params: {}, inFlight, forMs: options.quick ? 700 : 2_000 };
    // Once for the compiler.
    await load.ask("flood", { ...flood, forMs: 700 });
    const results: Tasks["flood"]["answer"][] = [];
    const cpus: number[] = [];
    for (let i = 0; i < (options.quick ? 3 : 5); i++) {
      const before = cpuSecondsOf(gateway.pid) ?? 0;
      const result = await load.ask("flood", flood);
      cpus.push((((cpuSecondsOf(gateway.pid) ?? 0) - before) * 1_000_000) / result.count);
      results.push(result);
    }
    rows.push({
      name: `health, ${count} connection${count === 1 ? "" : "s"}, ${inFlight} in flight each`,
      value: round(median(results.map(({ perSecond }) => perSecond))),
      unit: "/s",
      ...(goal && { goal, better: "higher" as const }),
      note: `p99 ${round(median(results.map(({ p99Ms }) => p99Ms)), 2)} ms, ${round(median(cpus), 1)} us CPU each`,
    });
  }
  return rows;
}

/** Messages that are on the disk when they are acknowledged, answered by the built-in model. */
async function chat(options: BenchOptions): Promise<readonly Row[]> {
  await using subject = await loaded(options);
  const { gateway, load } = subject;
  const sessions = 100;
  await load.ask("connect", { port: gateway.port, token, count: 1 });
  await load.ask("chat", { sessions, each: 10, awaiting: "answered" });
  const accepted: Tasks["chat"]["answer"][] = [];
  const answered: Tasks["chat"]["answer"][] = [];
  const cpus: number[] = [];
  const each = options.quick ? 20 : 50;
  for (let i = 0; i < (options.quick ? 3 : 5); i++) {
    accepted.push(await load.ask("chat", { sessions, each, awaiting: "accepted" }));
    const before = cpuSecondsOf(gateway.pid) ?? 0;
    answered.push(await load.ask("chat", { sessions, each, awaiting: "answered" }));
    cpus.push((((cpuSecondsOf(gateway.pid) ?? 0) - before) * 1_000_000) / (sessions * each));
  }
  const of = (results: typeof accepted, name: keyof Tasks["chat"]["answer"], digits = 0): number =>
    round(median(results.map((result) => result[name])), digits);
  return [
    {
      name: `durable chat.send, ${sessions} sessions: acknowledged`,
      value: of(accepted, "acceptedPerSecond"),
      unit: "/s",
      goal: 10_000,
      better: "higher",
      note: `p99 ${of(accepted, "p99Ms", 1)} ms while runs pile up; those finish at ${of(accepted, "answeredPerSecond")}/s`,
    },
    {
      name: `whole turns, ${sessions} sessions: answered`,
      value: of(answered, "answeredPerSecond"),
      unit: "/s",
      note: `p50 ${of(answered, "p50Ms", 1)}, p99 ${of(answered, "p99Ms", 1)} ms, ${round(median(cpus))} us CPU each`,
    },
  ];
}

async function history(options: BenchOptions): Promise<readonly Row[]> {
  const entries = options.quick ? 20_000 : 100_000;
  const { writeTranscript } = await import("./transcript.ts");
  await using subject = await loaded(options, (dir) =>
    writeTranscript(dir, "agent:main:bench-history", entries),
  );
  const { gateway, load } = subject;
  await load.ask("connect", { port: gateway.port, token, count: 1 });
  const params = { sessionKey: "bench-history", limit: 200 };
  await load.ask("ask", { method: "chat.history", params, times: 10 });
  const { medianMs, p99Ms, bytes } = await load.ask("ask", {
    method: "chat.history",
    params,
    times: options.quick ? 20 : 100,
  });
  return [
    {
      name: `chat.history: last 200 of ${entries.toLocaleString("en")}`,
      value: round(medianMs, 1),
      unit: "ms",
      goal: 10,
      better: "lower",
      note: `p99 ${round(p99Ms, 1)} ms, ${round(bytes / 1_024)} KB`,
    },
  ];
}

/** What those wait who have nothing to do with a plugin that computes for ever. */
async function attacked(options: BenchOptions): Promise<readonly Row[]> {
  await using subject = await loaded(options, installStrangers, strangersConfig);
  const { gateway, load } = subject;
  await load.ask("connect", { port: gateway.port, token, count: 1 });
  return await attackRows(gateway, (ask) => load.ask("probe", ask), options.quick ? 2 : 4);
}

interface Load {
  ask<Name extends TaskName>(name: Name, ask: Tasks[Name]["ask"]): Promise<Tasks[Name]["answer"]>;
}

/** Starts a gateway, and a process of its own that makes the load. */
export type Loaded = (
  options: BenchOptions,
  prepare?: (stateDir: string) => Promise<void>,
  config?: object,
) => Promise<AsyncDisposable & { readonly gateway: Running; readonly load: Load }>;

async function loaded(
  { node, self }: BenchOptions,
  prepare?: (stateDir: string) => Promise<void>,
  config?: object,
): ReturnType<Loaded> {
  const state = await tempState(config);
  await prepare?.(state.dir);
  const gateway = await startGateway(node, state.dir);
  const child = fork(self, ["--load"], { execArgv: ["--max-semi-space-size=64"] });
  return {
    gateway,
    load: { ask: (name, ask) => askChild(child, name, ask) },
    async [Symbol.asyncDispose]() {
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
      await gateway.stop();
      // Sockets of thousands of clients take a moment to be forgotten.
      await sleep(200);
      await state[Symbol.asyncDispose]();
    },
  };
}

async function askChild<Name extends TaskName>(
  child: ChildProcess,
  name: Name,
  ask: Tasks[Name]["ask"],
): Promise<Tasks[Name]["answer"]> {
  child.send({ name, ask });
  const [message] = (await once(child, "message")) as [{ answer: Tasks[Name]["answer"]; error?: string }];
  if (message.error !== undefined) throw new Error(message.error);
  return message.answer;
}
