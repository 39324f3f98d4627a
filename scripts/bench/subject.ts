import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** What is measured: the bundle beside this script, by a Node of one's choice. */
const program = path.resolve(import.meta.dirname, "../rclaw.cjs");
export const token = "bench-token-0123456789abcdef";

export interface Running {
  readonly pid: number;
  readonly port: number;
  /** `performance.now()` at the moment of the spawn. */
  readonly spawnedAt: number;
  stop(): Promise<void>;
}

/** A state folder that is gone when the measurement is over. */
export async function tempState(config?: object): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-bench-"));
  if (config) await writeFile(path.join(dir, "config.json"), JSON.stringify(config), { mode: 0o600 });
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }) };
}

/** Keys of the person who runs the bench must not choose a model. */
/** As in the product's first line: what was freed goes back to the system. */
export const frugal = { MALLOC_MMAP_THRESHOLD_: "32768" } as const;

function cleanEnv(stateDir: string): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG } = process.env;
  return {
    PATH,
    HOME,
    LANG,
    ...frugal,
    NO_COLOR: "1",
    RUSTY_CLAW_STATE_DIR: stateDir,
    RUSTY_CLAW_GATEWAY_TOKEN: token,
  };
}

/** With `screen` as a person starts it: what it then prints names the model, so providers are asked. */
export function startGateway(
  node: string,
  stateDir: string,
  { screen = false }: { screen?: boolean } = {},
): Promise<Running> {
  const args = ["--max-semi-space-size=1", program, "gateway", "--port", "0", ...(screen ? [] : ["--json"])];
  return startListening(node, args, cleanEnv(stateDir));
}

/** The least that could be called a gateway: what any Node program that listens costs. */
export function startBareServer(node: string): Promise<Running> {
  const script = `const server = require("node:http").createServer((request, response) => response.end("ok"));
require("node:crypto").randomUUID();
server.listen(0, "127.0.0.1", () => console.log("http://127.0.0.1:" + server.address().port));`;
  return startListening(node, ["--max-semi-space-size=1", "-e", script], cleanEnv(tmpdir()));
}

async function startListening(
  node: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Running> {
  const spawnedAt = performance.now();
  const child = spawn(node, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(child, "exit");
  const port = await portOf(child);
  return {
    pid: child.pid ?? 0,
    port,
    spawnedAt,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 15_000);
      await gone;
      clearTimeout(late);
    },
  };
}

/** The first address it prints is where it listens. */
function portOf(child: ChildProcess): Promise<number> {
  let text = "";
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (piece: string) => (errors += piece));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`it ended with ${code} before it was ready: ${text}${errors}`)),
    );
    child.stdout?.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      const port = /:\/\/[\d.]+:(\d+)\b/.exec(text)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  });
}

/** Milliseconds from the spawn of a command to its end. */
export async function timeCommand(node: string, args: readonly string[], stateDir: string): Promise<number> {
  const started = performance.now();
  const child = spawn(node, [program, ...args], {
    env: cleanEnv(stateDir),
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`rclaw ${args.join(" ")} ended with ${code}`);
  return performance.now() - started;
}
