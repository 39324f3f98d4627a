import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { constants } from "node:os";
import path from "node:path";
import {
  definePlugin,
  defineTool,
  isRclawError,
  type PluginContext,
  RclawError,
  type ToolContext,
  type ToolResult,
} from "@rclaw/plugin-sdk";
import { isBelow, launch, type Place } from "./bwrap.ts";
import { execParams } from "./exec.schema.ts";
import { startsCode } from "./guard/variables.ts";
import { type Limits, limitWords } from "./limits.ts";
import { DenyPatterns } from "./patterns.ts";
import { markerName, run, type RunOptions, type RunResult } from "./run.ts";
import { Sandbox } from "./sandbox.ts";

interface ExecConfig {
  readonly sandbox: "auto" | "off";
  readonly timeoutSec: number;
  readonly deny_patterns: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly limits: Limits;
}

/** Linux takes 128 KiB in one word. */
const maxCommandBytes = 120 * 1024;

interface Call {
  readonly command: string;
  readonly workdir?: string;
  readonly timeout?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export default definePlugin<ExecConfig>({
  activate(ctx) {
    const patterns = new DenyPatterns(ctx.config.deny_patterns);
    const sandbox = new Sandbox();
    ctx.defer(() => sandbox.close());
    const running = new Set<() => void>();
    const endAll = () => running.forEach((end) => end());
    // A gateway that is made to stop at once waits for nobody; what runs without a sandbox would live on.
    process.on("exit", endAll);
    ctx.defer(() => void process.off("exit", endAll));
    ctx.tools.register(
      defineTool({
        name: "exec",
        description: `Run a shell command in the workspace and get what it prints. ${
          ctx.config.sandbox === "off"
            ? "What cannot be judged by reading it is refused"
            : "It has no network and sees only the workspace and the system's programs"
        }; nothing can be typed into it, and what it leaves running is ended with it.`,
        params: execParams,
        paths: ["workdir"],
        timeoutMs: 0,
        execute: (params, call) => execute(params as Call, call, { ctx, patterns, sandbox, running }),
      }),
    );
  },
});

interface Parts {
  readonly ctx: PluginContext<ExecConfig>;
  readonly patterns: DenyPatterns;
  readonly sandbox: Sandbox;
  readonly running: Set<() => void>;
}

async function execute(params: Call, call: ToolContext, parts: Parts): Promise<ToolResult> {
  const { config } = parts.ctx;
  try {
    const place = await placeOf(params, call, parts.ctx);
    const { judge } = await import("./guard/judge.ts");
    const { workspace, cwd, env } = place;
    const verdict = judge(params.command, {
      strict: config.sandbox === "off",
      workspace,
      cwd,
      env,
      given: params.env ?? {},
      ...(config.sandbox === "off" && { source: (file: string) => scriptOf(file, workspace) }),
    });
    const why = verdict.denied ?? parts.patterns.match([params.command, ...verdict.commands]);
    if (why !== undefined) throw refused(why, params.command);
    const timeoutMs = Math.ceil((params.timeout ?? config.timeoutSec) * 1000);
    const shared = {
      timeoutMs,
      signal: call.signal,
      running: parts.running,
      ...(call.onUpdate && { onUpdate: (text: string) => call.onUpdate?.(text) }),
    };
    const options =
      config.sandbox === "off"
        ? openly(params, place, config)
        : await confined(params, place, parts, call.signal);
    return report(await run({ ...options, ...shared }), {
      place,
      timeoutMs,
      sandbox: config.sandbox === "off" ? "off" : "bwrap",
    });
  } catch (error) {
    if (!isRclawError(error) || error.code === "ABORTED") throw error;
    return { content: error.message, isError: true, details: { code: error.code, ...error.details } };
  }
}

const maxScriptBytes = 64 * 1024;

/** A script of the workspace, to be read before it runs where nothing else protects the machine. */
function scriptOf(file: string, workspace: string): string | undefined {
  try {
    const real = realpathSync(file);
    const stat = statSync(real);
    if (!isBelow(workspace, real) || !stat.isFile() || stat.size > maxScriptBytes) return undefined;
    const text = readFileSync(real, "utf8");
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

type Start = Pick<RunOptions, "words" | "inputs" | "cwd" | "env" | "namespaced" | "bounds">;

async function confined(
  { command }: Call,
  place: Place,
  { ctx, sandbox }: Parts,
  signal: AbortSignal,
): Promise<Start> {
  const bwrap = await sandbox.open(place, signal);
  const { words, inputs } = launch(bwrap, place, [
    ...merged,
    ...limitWords(ctx.config.limits, true),
    ...shell(command),
  ]);
  const { memoryMb, processes } = ctx.config.limits;
  // The kernel never limits root's processes, whatever uid they show inside.
  const bounds = { memoryMb, ...(process.getuid?.() === 0 && { processes }) };
  return { words, inputs, cwd: "/", env: {}, namespaced: true, bounds };
}

function openly({ command }: Call, place: Place, config: ExecConfig): Start {
  const env = { ...place.env, [markerName]: randomBytes(12).toString("hex") };
  return {
    words: [...merged, ...limitWords(config.limits, false), ...shell(command)],
    cwd: place.cwd,
    env,
    namespaced: false,
    bounds: { memoryMb: config.limits.memoryMb },
  };
}

// One pipe for both streams keeps the lines in the order they were printed.
const merged = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh"];

function shell(command: string): readonly string[] {
  return [existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh", "-c", command];
}

async function placeOf(
  params: Call,
  { workspace }: ToolContext,
  ctx: PluginContext<ExecConfig>,
): Promise<Place> {
  if (`${params.command}${params.workdir ?? ""}${Object.values(params.env ?? {}).join("")}`.includes("\0")) {
    throw new RclawError("INVALID_REQUEST", "exec: a NUL character is in the call. Leave it out.");
  }
  if (Buffer.byteLength(params.command) > maxCommandBytes) {
    throw new RclawError(
      "INVALID_REQUEST",
      "exec: the command is longer than the system takes. Write it to a file and run that.",
    );
  }
  const root = await realpath(workspace);
  const wanted = path.resolve(root, params.workdir ?? ".");
  const cwd = await realpath(wanted).catch(() => undefined);
  if (cwd === undefined || !(await stat(cwd)).isDirectory()) {
    throw new RclawError(
      "NOT_FOUND",
      `exec: there is no folder "${params.workdir ?? "."}" in the workspace. Make it first, or leave workdir out.`,
    );
  }
  if (cwd !== root && !isBelow(root, cwd)) {
    throw new RclawError(
      "PATH_OUTSIDE_WORKSPACE",
      `exec: workdir "${params.workdir ?? ""}" leaves the workspace. Use a folder inside it.`,
    );
  }
  const home = ctx.env("HOME") ?? "/";
  const state = ctx.env("RUSTY_CLAW_STATE_DIR") ?? path.join(home, ".rusty_claw");
  const hidden = [await realpath(state).catch(() => path.resolve(state))].filter((folder) =>
    existsSync(folder),
  );
  if (hidden.includes(root)) {
    throw new RclawError(
      "SANDBOX_UNAVAILABLE",
      "exec: the workspace is the gateway's own state folder. Set agents.defaults.workspace to a folder of its own.",
    );
  }
  return { workspace: root, cwd, hidden, env: environment(params, ctx) };
}

function environment({ env = {} }: Call, ctx: PluginContext<ExecConfig>): Readonly<Record<string, string>> {
  const isOpen = ctx.config.sandbox === "off";
  const kept = ["LANG", "LC_ALL", "TZ"].flatMap((name) => {
    const value = ctx.env(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const bad = Object.keys(env).find((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  if (bad !== undefined)
    throw new RclawError(
      "INVALID_REQUEST",
      `exec: "${bad.slice(0, 64)}" is no name for an environment variable.`,
    );
  const risky = Object.keys(env).find(startsCode);
  if (risky !== undefined) {
    throw new RclawError(
      "POLICY_DENIED",
      `exec: the variable "${risky}" is not taken from a call, because it makes programs load or run something else. Leave it out; the owner can set it in tools.exec.env.`,
      { details: { tool: "exec", variable: risky } },
    );
  }
  return {
    PATH:
      (isOpen ? ctx.env("PATH") : undefined) ??
      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: (isOpen ? ctx.env("HOME") : undefined) ?? "/tmp",
    TERM: "dumb",
    ...Object.fromEntries(kept),
    ...ctx.config.env,
    ...env,
  };
}

function refused(why: string, command: string): RclawError {
  return new RclawError("POLICY_DENIED", `exec: the command was not run: ${why}.`, {
    details: { tool: "exec", command: command.slice(0, 500), why },
  });
}

interface Run {
  readonly place: Place;
  readonly timeoutMs: number;
  readonly sandbox: "bwrap" | "off";
}

function report(result: RunResult, { place, timeoutMs, sandbox }: Run): ToolResult {
  if (result.ended === "aborted")
    throw new RclawError("ABORTED", "exec: the command was stopped because its run was stopped.");
  const { exitCode, durationMs, truncated } = result;
  const signal = result.signal ?? (exitCode === undefined ? undefined : signalOf(exitCode));
  const details = {
    exitCode,
    signal,
    durationMs,
    truncated,
    cwd: place.cwd,
    sandbox,
    ...(result.ended && { ended: result.ended }),
  };
  const note = noteFor(result, timeoutMs);
  const isError = note !== undefined;
  const output = result.output.replace(/\n$/, "");
  const content = [output, note && `[${note}]`].filter(Boolean).join("\n") || "(no output)";
  return { content, isError, details };
}

function noteFor({ ended, exitCode, signal }: RunResult, timeoutMs: number): string | undefined {
  if (ended === "timeout")
    return `Stopped after ${timeoutMs / 1000} s, with everything it had started. Give a longer timeout if it needs one`;
  if (ended === "output") return "Stopped: it printed more than 64 MB. Redirect to a file, or print less";
  if (ended === "processes") return "Stopped: it started too many processes";
  if (ended === "memory") return "Stopped: its programs took more memory than tools.exec.limits allows";
  if (exitCode === 0) return undefined;
  if (exitCode === undefined) return `Killed by ${signal ?? "a signal"}`;
  const killer = signalOf(exitCode);
  return `exit code ${exitCode}${killer === undefined ? "" : ` (128 + ${killer})`}`;
}

/** A shell, and bubblewrap, report a program that a signal ended as 128 and its number. */
function signalOf(exitCode: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0];
}
