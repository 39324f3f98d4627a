import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** The built product, as a user runs it: the bundle in dist/, a state folder of its own, a free port. */
const program = path.resolve(import.meta.dirname, "../../dist/rclaw.cjs");
export const token = "test-token-0123456789abcdef";

/** Nothing of the person who runs the tests may choose the model or the state. */
function cleanEnv(stateDir: string, env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG } = process.env;
  return {
    PATH,
    HOME,
    LANG,
    NO_COLOR: "1",
    RUSTY_CLAW_STATE_DIR: stateDir,
    RUSTY_CLAW_GATEWAY_TOKEN: token,
    ...env,
  };
}

export interface Product {
  readonly url: string;
  readonly http: string;
  readonly port: number;
  readonly pid: number;
  readonly stateDir: string;
  /** Everything it wrote to stderr. */
  stderr(): string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface ProductOptions {
  readonly stateDir: string;
  readonly config?: object;
  readonly env?: NodeJS.ProcessEnv;
}

export async function tempState(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-test-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }) };
}

export async function startProduct({ stateDir, config, env }: ProductOptions): Promise<Product> {
  if (config)
    await writeFile(path.join(stateDir, "config.json"), JSON.stringify(config, null, 2), { mode: 0o600 });
  const child = spawn(
    process.execPath,
    ["--max-semi-space-size=1", program, "gateway", "--port", "0", "--json"],
    {
      env: cleanEnv(stateDir, env),
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const gone = once(child, "exit");
  const { url, port, pid } = await firstLine(child, () => errors);
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const [code] = (await gone) as [number | null];
    return code;
  };
  return {
    url,
    http: url.replace(/^ws/, "http"),
    port,
    pid,
    stateDir,
    stderr: () => errors,
    stop: () => end("SIGTERM"),
    kill: async () => void (await end("SIGKILL")),
  };
}

async function firstLine(
  child: ChildProcess,
  errors: () => string,
): Promise<{ url: string; port: number; pid: number }> {
  let text = "";
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk);
    const end = text.indexOf("\n");
    if (end >= 0) return JSON.parse(text.slice(0, end)) as { url: string; port: number; pid: number };
  }
  throw new Error(`the gateway ended before it was ready: ${errors()}`);
}

/** Runs a command of the program to its end. */
export async function rclaw(
  stateDir: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [program, ...args], {
    env: cleanEnv(stateDir, options.env),
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}
