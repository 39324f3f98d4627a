import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { Manifest } from "@rclaw/plugin-sdk";
import type { LanePorts, Lanes } from "@rclaw/plugin-sdk/services/lanes";
import { createTestContext, type TestContext, type TestContextOptions } from "@rclaw/plugin-sdk/testing";
import { afterEach } from "vitest";
import { silent } from "../../../kernel/log.ts";
import { createLanes } from "../../../plugins/services/lanes/lanes.ts";

export const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export interface Trouble {
  readonly id: string;
  readonly where: string;
  readonly error: unknown;
}

/** Lanes of a gateway of their own, with a state folder that goes with the test. */
export async function openLanes(
  ports: Partial<LanePorts> = {},
): Promise<{ lanes: Lanes; troubles: Trouble[]; stateDir: string }> {
  const stateDir = await mkdtemp(path.join(os.tmpdir(), "rclaw-lanes-"));
  const troubles: Trouble[] = [];
  const lanes = createLanes({
    log: silent,
    stateDir,
    limits: () => ({}),
    report: (id, where, error) => void troubles.push({ id, where, error }),
    ...ports,
  });
  closers.push(async () => {
    await lanes.close();
    await rm(stateDir, { recursive: true, force: true });
  });
  return { lanes, troubles, stateDir };
}

/** Brings a plugin to life in a lane, inside a test context that stands for the kernel. */
export async function live<Config>(
  lanes: Lanes,
  runtime: "worker" | "wasm",
  entry: string,
  manifest: Partial<Manifest> & Pick<Manifest, "id" | "contributes">,
  options: TestContextOptions<Config> = {},
): Promise<TestContext<Config>> {
  const full = { name: manifest.id, description: "d", runtime, entry, ...manifest };
  const isWasm = entry.endsWith(".wasm");
  const found = { manifest: full, entry, ...(isWasm && { wasm: entry }), file: entry, builtIn: false };
  const rclaw = createTestContext<Config>({ id: manifest.id, ...options });
  closers.push(() => rclaw[Symbol.asyncDispose]());
  await rclaw.activate(await lanes.load(found, runtime));
  return rclaw;
}

export const place = {
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "run",
  toolCallId: "1",
  isOwner: true,
};
