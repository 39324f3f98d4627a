import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";
import { build, type Plugin } from "esbuild";
import { transcriptHash } from "@rclaw/plugin-sdk/session-key";
import type { SessionStoreOptions } from "@rclaw/plugin-sdk/services/sessions";
import { SessionStore } from "../../../plugins/services/sessions/store.ts";

export const keys = { defaultAgentId: "main", mainKey: "main" };
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
export const never: AbortSignal = new AbortController().signal;

/**
 * A folder that is gone when the test is. `inMemory` where thousands of stores are opened
 * and closed and nothing depends on what a disk does.
 */
export function tempFolder({ inMemory = false } = {}): { readonly dir: string } & Disposable {
  const base = inMemory && fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir();
  const dir = fs.mkdtempSync(path.join(base, "rclaw-sessions-"));
  return { dir, [Symbol.dispose]: () => fs.rmSync(dir, { recursive: true, force: true }) };
}

export function openStore(dir: string, options: Partial<SessionStoreOptions> = {}): Promise<SessionStore> {
  return SessionStore.open({ dir, keys, log: silent, ...options });
}

export function userSays(text: string): { type: string; message: { role: string; content: string } } {
  return { type: "message", message: { role: "user", content: text } };
}

export async function say(store: SessionStore, key: string, ...texts: string[]): Promise<readonly string[]> {
  const session = await store.open(key, never);
  try {
    return (await session.append(...texts.map(userSays))).map((entry) => entry.id);
  } finally {
    await session[Symbol.asyncDispose]();
  }
}

export async function textsIn(store: SessionStore, key: string): Promise<readonly string[]> {
  return (await store.tail(key, Number.MAX_SAFE_INTEGER)).map(
    (entry) => (entry["message"] as { content: string }).content,
  );
}

export function transcriptOf(dir: string, key: string): string {
  return path.join(dir, "transcripts", `${transcriptHash(key)}.jsonl`);
}

/** `sessionId:entryId` of every entry in a session's transcript and its archives, in order. */
export function entriesOnDisk(dir: string, key: string): readonly string[] {
  const hash = transcriptHash(key);
  const folder = path.join(dir, "transcripts");
  const files = fs
    .readdirSync(folder)
    .filter((name) => name.startsWith(hash) && !name.includes("quarantine"));
  return files.flatMap((name) => {
    const values = fs
      .readFileSync(path.join(folder, name), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { type: string; id: string });
    return values.filter(({ type }) => type === "message").map(({ id }) => `${values[0]?.id}:${id}`);
  });
}

const sdkFromSource: Plugin = {
  name: "sdk-from-source",
  setup({ onResolve }) {
    const folder = path.resolve(import.meta.dirname, "../../../plugin-sdk");
    onResolve({ filter: /^@rclaw\/plugin-sdk(\/|$)/ }, ({ path: name }) => ({
      path: path.join(folder, `${name.slice("@rclaw/plugin-sdk/".length) || "index"}.ts`),
    }));
  },
};

/** Bundles the process that tests kill: the oldest supported Node cannot run TypeScript. */
export async function bundleWriter(dir: string): Promise<string> {
  const outfile = path.join(dir, "writer.mjs");
  await build({
    entryPoints: [path.resolve(import.meta.dirname, "../../fixtures/sessions/writer.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile,
    plugins: [sdkFromSource],
    logLevel: "silent",
  });
  return outfile;
}

export interface Child {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  readonly errors: () => string;
  ready(): Promise<void>;
  ended(): Promise<void>;
}

export function start(command: string, args: readonly string[], { oneThread = false } = {}): Child {
  // One thread for disk work: "the n-th call" is then the same call every time.
  const env = { ...process.env, UV_THREADPOOL_SIZE: "1" };
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: oneThread ? env : process.env,
  });
  const lines: string[] = [];
  let rest = "";
  let errors = "";
  let onLine = (): void => undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
    onLine();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const closed = once(child, "close");
  return {
    process: child,
    lines,
    errors: () => errors,
    ready: () =>
      new Promise((resolve, reject) => {
        onLine = () => lines.includes("ready") && resolve();
        onLine();
        void closed.then(() => reject(new Error(`the writer ended before it was ready: ${errors}`)));
      }),
    ended: async () => {
      await closed;
    },
  };
}

export interface Injection {
  /** System calls to watch, with commas. */
  readonly calls: string;
  /** strace's own words: `fdatasync:error=EIO:when=3`. */
  readonly inject: readonly string[];
  /** Only calls on these files count; otherwise all do. */
  readonly files?: readonly string[];
  /** Where the watched calls are written down. */
  readonly trace?: string;
  /** For counted calls: strace counts by thread. */
  readonly oneThread?: boolean;
}

/** Starts the writer with disk faults injected by strace. */
export function startFaulty(
  writer: readonly string[],
  { calls, inject, files = [], trace = "/dev/null", oneThread = false }: Injection,
): Child {
  const only = files.flatMap((file) => ["-P", file]);
  const what = inject.flatMap((fault) => ["-e", `inject=${fault}`]);
  const args = ["-f", "-qq", "-o", trace, "-e", `trace=${calls}`, ...only, ...what];
  return start("strace", [...args, process.execPath, ...writer], { oneThread });
}
