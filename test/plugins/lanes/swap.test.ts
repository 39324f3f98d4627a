import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import type { InboundMessage } from "@rclaw/plugin-sdk";
import type { GaveWay, Lanes } from "@rclaw/plugin-sdk/services/lanes";
import type { TestContext } from "@rclaw/plugin-sdk/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { onGaveWay } from "../../../plugins/services/lanes/gave-way.ts";
import { closers, live, openLanes, place, type Trouble } from "./setup.ts";
import {
  foundAt,
  manifest,
  type Platform,
  sourceOf,
  startPlatform,
  type Version,
  type Versions,
  versionsFolder,
} from "./versions-of.ts";

let versions: Versions;
const components = new Map<string, Promise<string>>();
beforeAll(async () => {
  versions = await versionsFolder();
});
afterAll(() => versions.remove());

const linuxTest = test.skipIf(process.platform !== "linux");

type Lane = "worker" | "wasm";

/** A component takes seconds to build: each of them once. */
function fileOf(lane: Lane, version: Version): Promise<string> {
  if (lane === "worker") return versions.script(version);
  const key = JSON.stringify(version);
  const known = components.get(key) ?? versions.component(version);
  components.set(key, known);
  return known;
}

interface Alive {
  readonly lanes: Lanes;
  readonly stateDir: string;
  readonly troubles: Trouble[];
  readonly platform: Platform;
  readonly rclaw: TestContext<object>;
  tool(name: string): Promise<string>;
  swap(version: Version): Promise<boolean>;
}

async function alive(lane: Lane, first: Version, { channel = false, ports = {} } = {}): Promise<Alive> {
  const platform = await startPlatform();
  closers.push(() => platform.close());
  const { lanes, troubles, stateDir } = await openLanes(ports);
  const { contributes } = manifest;
  const full = {
    ...manifest,
    runtime: lane,
    contributes: { ...contributes, ...(channel && { channels: ["polled"] }) },
  };
  const rclaw = await live<object>(lanes, lane, await fileOf(lane, first), full, {
    config: { base: platform.base, channel },
    fetch,
  });
  const { signal } = new AbortController();
  return {
    lanes,
    stateDir,
    troubles,
    platform,
    rclaw,
    tool: async (name) => (await rclaw.context.tools.call(name, {}, { ...place, signal })).content,
    swap: async (version) => lanes.swap(foundAt(await fileOf(lane, version), lane, full), lane),
  };
}

describe.each(["worker", "wasm"] as const)("a newer version in a %s", (lane) => {
  test("takes what comes, while the one before finishes what it has begun", async () => {
    const { platform, tool, swap } = await alive(lane, { name: "v1" });
    const begun = tool("slow");
    await platform.held();
    expect(await swap({ name: "v2" })).toBe(true);
    expect(await tool("version")).toBe("v2");
    platform.release();
    expect(await begun).toBe("v1 in the end");
    expect(await tool("version")).toBe("v2");
  });

  test("that cannot be activated changes nothing, and says why", async () => {
    const { platform, tool, swap, troubles } = await alive(lane, { name: "v1" });
    const begun = tool("slow");
    await platform.held();
    const bad = {
      name: "v2",
      first: `throw Object.assign(new Error("no luck"), { name: "RclawError", code: "CONFIG_INVALID", retryable: false })`,
    };
    await expect(swap(bad)).rejects.toThrow(/no luck|plugin failed/);
    expect(await tool("version")).toBe("v1");
    platform.release();
    expect(await begun).toBe("v1 in the end");
    expect(troubles).toEqual([]);
  });

  test("that never comes to life is given up, and costs the one before nothing", async () => {
    const limits = { loadMs: 1_500, entryMs: 700 };
    const { platform, tool, swap } = await alive(lane, { name: "v1" }, { ports: { limits: () => limits } });
    const begun = tool("slow");
    await platform.held();
    await expect(swap({ name: "v2", first: "for (;;);" })).rejects.toThrow(
      /did not load within 1500 ms|computed/,
    );
    expect(await tool("version")).toBe("v1");
    platform.release();
    expect(await begun).toBe("v1 in the end");
  });

  test("that breaks soon gives way to the one before, and the owner is told", async () => {
    const { tool, swap, troubles } = await alive(
      lane,
      { name: "v1" },
      { ports: { limits: () => ({ entryMs: 700 }) } },
    );
    expect(await swap({ name: "v2" })).toBe(true);
    expect(await tool("version")).toBe("v2");
    await expect(tool("fall")).rejects.toThrow(/did not load within 1500 ms|computed/);
    expect(await tool("version")).toBe("v1");
    expect(troubles.map(({ where }) => where)).toEqual([`runtime ${lane}`, "update"]);
    expect(String(troubles[1]?.error)).toContain("is back to the version before");
  });

  test("that offers something else is not taken over to", async () => {
    const { tool, swap } = await alive(lane, { name: "v1" });
    expect(await swap({ name: "v2", description: "Other." })).toBe(false);
    expect(await tool("version")).toBe("v1");
  });

  test("polls only once the one before has stopped, and no message is lost or comes twice", async () => {
    const { platform, rclaw, tool, swap, troubles } = await alive(lane, { name: "v1" }, { channel: true });
    const seen: string[] = [];
    let gate: Promise<void> = Promise.resolve();
    let open: () => void = () => undefined;
    const stop = new AbortController();
    const channel = rclaw.contributions.channels.get("polled");
    await channel?.start(async ({ text }: InboundMessage) => {
      seen.push(text);
      await gate;
    }, stop.signal);
    platform.push("a", "b");
    await expect.poll(() => seen).toEqual(["a", "b"]);

    // In the middle of a batch: the first of three is being received.
    gate = new Promise((resolve) => (open = resolve));
    platform.push("c", "d", "e");
    await expect.poll(() => seen).toEqual(["a", "b", "c"]);
    expect(await swap({ name: "v2" })).toBe(true);
    platform.push("f");
    // Time enough for whoever would not wait.
    for (let i = 0; i < 50; i++) expect(await tool("version")).toBe("v2");
    expect([...platform.pollers]).toEqual(["v1"]);
    open();
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual(["a", "b", "c", "d", "e", "f"]);
    await expect.poll(() => [...platform.pollers]).toEqual(["v1", "v2"]);
    for (const name of ["v1", "v2", "v1"]) {
      expect(await swap({ name })).toBe(true);
      platform.push(`by ${name}`);
      await expect.poll(() => seen.at(-1), { timeout: 5_000 }).toBe(`by ${name}`);
    }
    expect(seen).toEqual(["a", "b", "c", "d", "e", "f", "by v1", "by v2", "by v1"]);
    expect(platform.mostPollers).toBe(1);
    expect(troubles).toEqual([]);
    stop.abort();
  });
});

test("who keeps the versions is told of one that gave way, and agreeing interrupts nothing", async () => {
  const first = {
    name: "v1",
    before: `return { content: "v1 " + (globalThis.n = (globalThis.n ?? 0) + 1) }`,
  };
  const { lanes, stateDir, tool, swap } = await alive("worker", first);
  const told: GaveWay[] = [];
  onGaveWay(stateDir, (event) => void told.push(event));
  expect(await swap({ name: "v2", before: "process.exit(1)" })).toBe(true);
  await expect(tool("version")).rejects.toThrow("was ended");
  expect(await tool("version")).toBe("v1 1");
  expect(lanes.use("turns")?.gaveWay).toContain("is back to the version before: the new one broke");
  const [event] = told;
  expect(event?.reason).toContain("was ended");
  expect(told.map(({ from, to }) => [from.file === to.file, to.manifest.id])).toEqual([[false, "turns"]]);
  if (event) expect(await lanes.swap(event.to, "worker")).toBe(true);
  // Still the same life of it.
  expect(await tool("version")).toBe("v1 2");
  if (event) expect(await lanes.swap(event.to, "worker")).toBe(true);
  expect(await tool("version")).toBe("v1 1");
  expect(await swap({ name: "v3" })).toBe(true);
  expect(lanes.use("turns")?.gaveWay).toBeUndefined();
});

test("the same files anew are no version to go back to, and do not end a probation", async () => {
  const { lanes, stateDir, tool } = await alive("worker", { name: "v1" });
  const told: GaveWay[] = [];
  onGaveWay(stateDir, (event) => void told.push(event));
  const broken = foundAt(await versions.script({ name: "v2", before: "process.exit(1)" }), "worker");
  expect(await lanes.swap(broken, "worker")).toBe(true);
  expect(await lanes.swap(broken, "worker")).toBe(true);
  await expect(tool("version")).rejects.toThrow("was ended");
  expect(await tool("version")).toBe("v1");
  expect(told).toHaveLength(1);
});

test("a version that follows one asleep is on probation as well", async () => {
  const { lanes, tool, swap } = await alive("worker", { name: "v1" }, { ports: { idleMs: 1 } });
  await expect.poll(() => lanes.use("turns")?.loaded).toBe(false);
  expect(await swap({ name: "v2", before: "process.exit(1)" })).toBe(true);
  await expect(tool("version")).rejects.toThrow("was ended");
  expect(await tool("version")).toBe("v1");
  await expect.poll(() => lanes.use("turns")?.loaded).toBe(false);
  await expect(swap({ name: "v3", first: "process.exit(1)" })).rejects.toThrow("was ended");
  expect(await tool("version")).toBe("v1");
});

test("a version is on probation for a minute; what breaks later is its own affair", async () => {
  const { tool, swap, troubles } = await alive(
    "worker",
    { name: "v1" },
    { ports: { limits: () => ({ entryMs: 500 }) } },
  );
  expect(await swap({ name: "v2" })).toBe(true);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_001 });
  try {
    await expect(tool("fall")).rejects.toThrow("computed for more than 500 ms");
    expect(await tool("version")).toBe("v2");
    expect(troubles.map(({ where }) => where)).toEqual(["runtime worker"]);
  } finally {
    vi.useRealTimers();
  }
});

test("the version before may break in its farewell: that is not held against the new one", async () => {
  const { platform, tool, swap, troubles } = await alive("worker", {
    name: "v1",
    first: `globalThis.fetch(ctx.config.base + "/held").then(() => process.exit(1));`,
  });
  const begun = tool("slow");
  await platform.held();
  expect(await swap({ name: "v2" })).toBe(true);
  platform.release();
  await begun.catch(() => undefined);
  expect(await tool("version")).toBe("v2");
  expect(troubles).toEqual([]);
});

test("a file that was changed in place runs as it is now", async () => {
  const { lanes, tool } = await alive("worker", { name: "v1" });
  expect(await tool("version")).toBe("v1");
  const file = await versions.script({ name: "v1" });
  const found = foundAt(file, "worker");
  expect(await lanes.swap(found, "worker")).toBe(true);
  await writeFile(file, sourceOf({ name: "v3" }));
  expect(await lanes.swap(found, "worker")).toBe(true);
  expect(await tool("version")).toBe("v3");
});

test("two updates at once are done one after the other", async () => {
  const { tool, swap } = await alive("worker", { name: "v1" });
  expect(await Promise.all([swap({ name: "v2" }), swap({ name: "v3" }), tool("version")])).toEqual([
    true,
    true,
    "v1",
  ]);
  expect(["v2", "v3"]).toContain(await tool("version"));
});

linuxTest(
  "a plugin that is switched off while its next version comes to life leaves nothing behind",
  async () => {
    const { lanes, rclaw, tool, swap } = await alive("worker", { name: "v1" });
    expect(await tool("version")).toBe("v1");
    const before = threads();
    const swapping = swap({ name: "v2" });
    await rclaw[Symbol.asyncDispose]();
    await swapping.catch(() => undefined);
    expect(lanes.use("turns")).toBeUndefined();
    await expect.poll(threads, { timeout: 5_000 }).toBeLessThan(before);
  },
);

/** Threads of this process; those of the engine itself do not come and go. */
const threads = (): number => readdirSync("/proc/self/task").length;

linuxTest.for(["worker", "wasm"] as const)(
  "fifty updates of a %s leave no thread, no open file and no memory behind",
  { timeout: 120_000 },
  async (lane) => {
    const { tool, swap } = await alive(lane, { name: "v1" });
    const file = { name: "again" };
    const measure = async (): Promise<{ rss: number; threads: number; files: number }> => {
      expect(await tool("version")).toBe("again");
      globalThis.gc?.();
      return {
        rss: process.memoryUsage().rss,
        threads: threads(),
        files: readdirSync("/proc/self/fd").length,
      };
    };
    for (let i = 0; i < 10; i++) expect(await swap(file)).toBe(true);
    const before = await measure();
    for (let i = 0; i < 40; i++) {
      expect(await swap(file)).toBe(true);
      expect(await tool("version")).toBe("again");
    }
    await expect.poll(threads, { timeout: 5_000 }).toBeLessThanOrEqual(before.threads);
    const after = await measure();
    expect(after.files).toBeLessThanOrEqual(before.files);
    expect((after.rss - before.rss) / 2 ** 20).toBeLessThan(40);
  },
);
