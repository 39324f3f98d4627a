import { setTimeout as sleep } from "node:timers/promises";
import type { Manifest, PluginContext } from "@rclaw/plugin-sdk";
import type { Lanes } from "@rclaw/plugin-sdk/services/lanes";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { createLanes } from "../../plugins/services/lanes/lanes.ts";
import type { Lane } from "./guests.ts";

/** What a child process measures of one lane, and prints as one line of JSON. */
export interface Task {
  readonly what: "calls" | "loads" | "memory" | "warm";
  readonly stateDir: string;
  readonly lane: Lane;
  readonly artefact: string;
  readonly count: number;
  /** Plugins that may not share a thread. */
  readonly alone: boolean;
  readonly rounds: number;
}

export interface Calls {
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const place = { sessionKey: "agent:main:main", agentId: "main", runId: "r", toolCallId: "1", isOwner: true };

type Echo = (text: string, tool?: string) => Promise<unknown>;

async function revive(lanes: Lanes, { lane, artefact, alone }: Task, id: string): Promise<Echo> {
  const isWasm = lane !== "worker";
  const manifest = {
    id,
    name: id,
    description: "Says it again.",
    runtime: isWasm ? "wasm" : "worker",
    entry: artefact,
    contributes: { tools: ["echo", "spin"] },
    // Who may use a secret lives alone.
    ...(alone && { permissions: { secrets: ["none"] } }),
  } as Manifest;
  const found = {
    manifest,
    entry: artefact,
    ...(isWasm && { wasm: artefact }),
    file: artefact,
    builtIn: false,
  };
  const rclaw = createTestContext({ id });
  await rclaw.activate(await lanes.load(found, isWasm ? "wasm" : "worker"));
  const { tools, signal }: PluginContext = rclaw.context;
  return (text, tool = "echo") => tools.call(tool, { text }, { ...place, signal });
}

function summed(times: number[], ms: number): Calls {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), perSecond: (times.length / ms) * 1_000 };
}

async function timed(echo: Echo, text: string, rounds: number): Promise<Calls> {
  // Until the engine has compiled what is run often, a call takes twice as long.
  for (let i = 0; i < Math.min(1_000, rounds); i++) await echo(text);
  const times: number[] = [];
  const begun = performance.now();
  for (let i = 0; i < rounds; i++) {
    const before = performance.now();
    await echo(text);
    times.push((performance.now() - before) * 1_000);
  }
  return summed(times, performance.now() - begun);
}

async function calls(lanes: Lanes, task: Task): Promise<unknown> {
  const echo = await revive(lanes, task, "echo");
  const tiny = await timed(echo, "hello", task.rounds);
  const kilo = await timed(echo, "x".repeat(1_024), task.rounds);
  const large = await timed(echo, "x".repeat(102_400), Math.ceil(task.rounds / 100));
  return { tiny, kilo, large };
}

async function loads(lanes: Lanes, task: Task): Promise<unknown> {
  // The first ever remembers what it offers and, for a component, what was made of it.
  const first = await revive(lanes, task, "p0");
  await first("x");
  const times: number[] = [];
  for (let i = 1; i <= task.count; i++) {
    const before = performance.now();
    await (
      await revive(lanes, task, `p${i}`)
    )("x");
    times.push(performance.now() - before);
  }
  const recover: number[] = [];
  for (let i = 0; i < 3; i++) {
    await first("x", "spin").catch(() => undefined);
    const before = performance.now();
    await first("again");
    recover.push(performance.now() - before);
  }
  const middle = (list: number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  return { another: middle(times), recover: middle(recover) };
}

const rss = (): number => process.memoryUsage.rss() / 1_048_576;

async function memory(lanes: Lanes, task: Task): Promise<unknown> {
  // What the first use of the lanes' own code costs is part of it.
  const before = rss();
  const all: Echo[] = [];
  for (let i = 0; i < task.count; i++) all.push(await revive(lanes, task, `p${i}`));
  const loaded = rss();
  for (const echo of all) await echo("x");
  const used = rss();
  // The lanes let go after half a second here; then the memory is the engine's to give back.
  await sleep(9_000);
  return { installed: loaded - before, used: used - before, after: rss() - before };
}

/** So that offers and transpiled components are there before anything is measured, as they are on a user's machine. */
async function warm(lanes: Lanes, task: Task): Promise<unknown> {
  return (await revive(lanes, task, "warm"))("x");
}

export async function measureLane(task: Task): Promise<unknown> {
  const lanes = createLanes({
    log: silent,
    stateDir: task.stateDir,
    limits: () => ({ entryMs: task.what === "loads" ? 1_500 : 5_000, callMs: 60_000 }),
    report: () => {},
    idleMs: task.what === "memory" ? 500 : 60_000,
  });
  try {
    const measure = { calls, loads, memory, warm }[task.what];
    return await measure(lanes, task);
  } finally {
    await lanes.close();
  }
}
