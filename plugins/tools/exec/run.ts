import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Writable } from "node:stream";
import { openPidsGroup } from "./pids.ts";
import { Output } from "./output.ts";
import { type Bounds, childrenOf, contentOf, kill, namesIn, watchBounds } from "./processes.ts";

export interface RunOptions {
  readonly words: readonly string[];
  /** Written to descriptors 3, 4, ... of the program. */
  readonly inputs?: readonly Uint8Array[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** All processes hang below a PID namespace and die with its first one. */
  readonly namespaced: boolean;
  /** Whoever passes one of them is ended. */
  readonly bounds?: Bounds;
  /** Ends of the commands at work, for when the gateway itself has no time left. */
  readonly running?: Set<() => void>;
  onUpdate?(text: string): void;
}

export interface RunResult {
  readonly output: string;
  readonly truncated: boolean;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** Why it was ended from here. */
  readonly ended: "timeout" | "aborted" | "output" | "processes" | "memory" | undefined;
  readonly durationMs: number;
}

type Ended = RunResult["ended"];

/** Names the environment variable by which processes that left the group are found again. */
export const markerName = "RCLAW_EXEC_ID";

/** Runs a program to its end and leaves nothing of it behind. */
export async function run(options: RunOptions): Promise<RunResult> {
  const startedAt = performance.now();
  const { bounds, running } = options;
  const group = bounds?.processes === undefined ? undefined : await openPidsGroup(bounds.processes);
  const words = withoutInherited(options.words, 3 + (options.inputs?.length ?? 0));
  const [file = "", ...args] = [...(group?.words ?? []), ...words];
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...options.env },
    // Its own group: a signal reaches what it started, and Ctrl-C in the gateway's terminal does not
    // reach it, or the answers that get time to finish would lose their command at once.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", ...(options.inputs ?? []).map(() => "pipe" as const)],
  });
  const spawned = new Promise<void>(
    (resolve, reject) => void child.once("spawn", resolve).once("error", reject),
  );
  let ended: Ended;
  const end = (why: NonNullable<Ended>) => {
    ended ??= why;
    killTree(child, options);
  };
  const output = new Output({
    flood: () => end("output"),
    ...(options.onUpdate && { onUpdate: options.onUpdate }),
  });
  child.stdout?.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => output.push(chunk));
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const drained = new Promise<void>((resolve) => void child.once("close", () => resolve()));
  await spawned.catch(async (error: unknown) => {
    await group?.close();
    throw error;
  });
  for (const [index, input] of (options.inputs ?? []).entries())
    feed(child.stdio[index + 3] as Writable, input);

  const abort = () => end("aborted");
  options.signal.addEventListener("abort", abort, { once: true });
  if (options.signal.aborted) abort();
  const timer = setTimeout(() => end("timeout"), options.timeoutMs);
  const watching =
    bounds === undefined || child.pid === undefined ? undefined : watchBounds(child.pid, bounds, end);
  const endAtOnce = () => killTree(child, options);
  running?.add(endAtOnce);
  try {
    const { code, signal } = await exited;
    // Whatever it left running in the background would hold the pipes and the machine.
    killTree(child, options);
    await Promise.race([drained, after(1000)]);
    return {
      output: output.text(),
      truncated: output.truncated,
      exitCode: code ?? undefined,
      signal: signal ?? undefined,
      ended,
      durationMs: Math.round(performance.now() - startedAt),
    };
  } finally {
    clearTimeout(timer);
    clearInterval(watching);
    running?.delete(endAtOnce);
    options.signal.removeEventListener("abort", abort);
    output.close();
    child.stdout?.destroy();
    child.stderr?.destroy();
    void group?.close();
  }
}

/**
 * Node closes its own descriptors on exec, but not those that whoever started the gateway
 * left open in it. Those must not reach a command, so a shell closes them on the way.
 */
function withoutInherited(words: readonly string[], firstFree: number): readonly string[] {
  const closeOnExec = 0o2000000;
  const open = namesIn("/proc/self/fdinfo").filter((fd) => {
    const flags = /^flags:\s*(\d+)/m.exec(contentOf(`/proc/self/fdinfo/${fd}`))?.[1];
    return Number(fd) >= firstFree && flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0;
  });
  if (open.length === 0) return words;
  // Only bash takes descriptors of more than one digit.
  const shell = existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh";
  return [shell, "-c", `exec ${open.map((fd) => `${fd}>&-`).join(" ")}; exec "$@"`, "sh", ...words];
}

/** A program that ends early closes its end; that is its affair. */
function feed(stream: Writable, input: Uint8Array): void {
  stream.on("error", () => undefined);
  stream.end(input);
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}

/**
 * Ends everything. In a namespace the first process inside is killed, not bubblewrap: killed
 * first, bubblewrap could not reap it, and a container without init would keep a zombie.
 */
function killTree(child: ChildProcess, { namespaced, env }: RunOptions): void {
  const { pid } = child;
  if (pid === undefined) return;
  const gone = child.exitCode !== null || child.signalCode !== null;
  if (namespaced) {
    if (gone) return;
    const inside = childrenOf(pid);
    for (const inner of inside) kill(inner);
    if (inside.length === 0) child.kill("SIGKILL");
    else setTimeout(() => child.exitCode === null && child.kill("SIGKILL"), 2000).unref();
    return;
  }
  kill(-pid);
  const marker = env[markerName];
  if (marker !== undefined) killMarked(marker);
}

/** Daemons leave the group and the session, but they keep the environment they started with. */
function killMarked(marker: string): void {
  if (process.platform !== "linux") return;
  const wanted = `${markerName}=${marker}`;
  for (let round = 0; round < 5; round += 1) {
    const found = namesIn("/proc").filter(
      (name) => /^\d+$/.test(name) && contentOf(`/proc/${name}/environ`).split("\0").includes(wanted),
    );
    if (found.length === 0) return;
    for (const pid of found) kill(Number(pid));
  }
}
