import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { LaneLimits, LanePorts } from "@rclaw/plugin-sdk/services/lanes";
import { expect } from "vitest";
import { coreModule, type Parts } from "../../fixtures/attacks/core.ts";
import { live, openLanes, place } from "./setup.ts";

/** Short enough that a test ends soon, long enough that a busy machine does not fail an honest plugin. */
export const tight: Partial<LaneLimits> = {
  entryMs: 1_000,
  callMs: 3_000,
  loadMs: 4_000,
  hostCalls: 100,
  memoryBytes: 16 * 1_048_576,
};
/** What an attack may add to the process: one thread with its heap, its guest's memory, and what the collector has not taken yet. */
const maxGrowth = 250 * 1_048_576;
/** No attack may keep the gateway's thread from its next turn for longer, on a machine whose cores are all busy. */
const maxStallMs = 1_500;

let folder: string | undefined;
let last = 0;
/** A folder that all tests of a file share: what was transpiled once need not be again. */
export const sharedFolder = async (): Promise<string> =>
  (folder ??= await mkdtemp(path.join(os.tmpdir(), "rclaw-attacks-")));
export async function moduleFile(bytes: Uint8Array): Promise<string> {
  const file = path.join(await sharedFolder(), `${++last}.wasm`);
  await writeFile(file, bytes);
  return file;
}
export const forgetModules = (): Promise<void> => rm(folder ?? "", { recursive: true, force: true });

/** An attacker and an honest plugin that share what can be shared. */
export async function battlefield(limits: Partial<LaneLimits> = {}, ports: Partial<LanePorts> = {}) {
  const { lanes, troubles } = await openLanes({ limits: () => ({ ...tight, ...limits }), ...ports });
  const polite = await live(lanes, "wasm", await moduleFile(coreModule()), {
    id: "polite",
    contributes: { tools: ["attack"] },
  });
  const meets = async (parts: Parts | Uint8Array, id = "hostile", tools = ["attack"]) =>
    live(lanes, "wasm", await moduleFile(parts instanceof Uint8Array ? parts : coreModule(parts)), {
      id,
      contributes: { tools },
    });
  return { lanes, troubles, polite, meets };
}

type Alive = Awaited<ReturnType<typeof live>>;
export const strike = (who: Alive, name = "attack", params: object = {}) =>
  who.context.tools.call(name, params, { ...place, signal: who.context.signal });

/** What went wrong, in the words that the owner reads. */
export async function reason(work: () => Promise<unknown>): Promise<string> {
  try {
    return `no error, but ${JSON.stringify(await work())}`;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return `${code}: ${message}`;
  }
}

/** During the work the gateway's thread goes on, and afterwards it holds no more memory than a thread costs. */
export async function contained<T>(
  work: () => Promise<T>,
  { stallMs = maxStallMs, growth = maxGrowth } = {},
): Promise<T> {
  const before = process.memoryUsage.rss();
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  try {
    return await work();
  } finally {
    delay.disable();
    expect(delay.max / 1e6, "milliseconds that this thread stood still").toBeLessThan(stallMs);
    expect(process.memoryUsage.rss() - before, "bytes that this process grew by").toBeLessThan(growth);
  }
}

/** An honest plugin answers, although what it shared a thread with was ended a moment ago. */
export async function stillAnswers(polite: Alive): Promise<void> {
  const begun = performance.now();
  for (let attempt = 0; ; attempt++) {
    const said = await reason(() => strike(polite));
    if (said.includes("hello")) break;
    // It may have gone down with the thread: the error says so, and that trying again helps.
    expect(said).toMatch(/UNAVAILABLE.*try again/);
    expect(attempt).toBeLessThan(3);
  }
  // A new thread, the SDK and the module: 0.1 s on an idle machine.
  expect(performance.now() - begun).toBeLessThan(5_000);
}
