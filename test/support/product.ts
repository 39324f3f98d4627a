import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, vi } from "vitest";
import { builtProduct } from "./build.ts";
import { ending } from "./ends.ts";
import { type Client, connectClient, type ConnectOptions, type Frame } from "./ws-client.ts";

// Whoever starts processes, and builds them first, waits for a machine that may be busy.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

/** Also those that were not ready yet when their test ran out of time. */
const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill("SIGKILL");
});

export const token = "test-token-0123456789abcdef";

/** Nothing of the person who runs the tests may choose the model or the state. */
function cleanEnv(stateDir: string, env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { PATH, LANG } = process.env;
  return {
    PATH,
    // A home of its own as well: what a tool leaves there, or finds there, is nobody's.
    HOME: stateDir,
    LANG,
    NO_COLOR: "1",
    RUSTY_CLAW_STATE_DIR: stateDir,
    RUSTY_CLAW_GATEWAY_TOKEN: token,
    ...env,
  };
}

/** The built product, as a user runs it: a process, a state folder of its own, a free port. */
export interface Product extends AsyncDisposable {
  readonly url: string;
  readonly http: string;
  readonly port: number;
  readonly pid: number;
  readonly stateDir: string;
  /** Everything it wrote to stderr. */
  stderr(): string;
  /** A client of the protocol that has shaken hands. */
  connect(options?: ConnectOptions): Promise<Client>;
  signal(signal: NodeJS.Signals): void;
  /** Ctrl-C in its terminal: everything that runs in the foreground there gets it. Only with `npm`. */
  interrupt(): void;
  /** Resolves when it is gone, with its exit code or the signal that ended it. */
  readonly gone: Promise<number | NodeJS.Signals>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | NodeJS.Signals>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export interface ProductOptions {
  readonly stateDir: string;
  readonly config?: object;
  readonly env?: NodeJS.ProcessEnv;
  readonly args?: readonly string[];
  /** Starts it with `npm start`, as if in a terminal of its own. */
  readonly npm?: boolean;
}

export interface TempState extends AsyncDisposable {
  readonly dir: string;
  /** Text of a file below it. */
  read(file: string): Promise<string>;
  /** Every file below it whose bytes hold the text. */
  filesWith(text: string): Promise<readonly string[]>;
}

export async function tempState(): Promise<TempState> {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-test-"));
  return ending<TempState>({
    dir,
    read: (file) => readFile(path.join(dir, file), "utf8"),
    async filesWith(text) {
      const entries = await readdir(dir, { recursive: true, withFileTypes: true });
      const files = entries
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name));
      const holds = await Promise.all(
        files.map(async (file) =>
          (await readOrNothing(file)).includes(text) ? [path.relative(dir, file)] : [],
        ),
      );
      return holds.flat().sort();
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }),
  });
}

export async function startProduct(options: ProductOptions): Promise<Product> {
  const { stateDir, config, env, args = [], npm = false } = options;
  if (config) await writeConfig(stateDir, config);
  const program = path.join(await builtProduct(), "rclaw.cjs");
  const [file, ...before] = npm
    ? ["npm", "start", "--silent", "--"]
    : [process.execPath, "--max-semi-space-size=1", program, "gateway"];
  const child = spawn(file ?? "", [...before, "--port", "0", "--json", ...args], {
    cwd: npm ? path.resolve(import.meta.dirname, "../..") : process.cwd(),
    detached: npm,
    env: cleanEnv(stateDir, env),
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.once("close", () => running.delete(child));
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const gone = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  const ready = new Promise<string>((resolve) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
    });
  });
  const late = setTimeout(() => child.kill("SIGKILL"), 60_000).unref();
  const line = await Promise.race([ready, gone.then(() => undefined)]);
  clearTimeout(late);
  if (line === undefined) throw new Error(`the gateway ended before it was ready: ${errors}`);
  const { url, port, pid } = JSON.parse(line) as { url: string; port: number; pid: number };
  const end = (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return gone;
  };
  const clients: Client[] = [];
  return ending<Product>({
    url,
    http: url.replace(/^ws/, "http"),
    port,
    pid,
    stateDir,
    gone,
    stderr: () => errors,
    async connect(options = {}) {
      const { client, answer } = await connectClient(url, { token, caps: ["tool-events"], ...options });
      if (!answer.ok) throw new Error(`the gateway refused: ${answer.error?.message}`);
      // A killed gateway resets its connections; whoever waits for a frame is told by the close.
      client.ws.on("error", () => undefined);
      clients.push(client);
      return client;
    },
    signal: (signal) => void child.kill(signal),
    interrupt: () => void process.kill(-(child.pid ?? 0), "SIGINT"),
    stop: () => end("SIGTERM"),
    kill: async () => void (await end("SIGKILL")),
    async [Symbol.asyncDispose]() {
      for (const { ws } of clients) ws.terminate();
      await end("SIGKILL");
    },
  });
}

function writeConfig(stateDir: string, config: object): Promise<void> {
  return writeFile(path.join(stateDir, "config.json"), JSON.stringify(config, null, 2), { mode: 0o600 });
}

/** Asks, and takes the answer's payload; a refusal is the test's failure. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests look into payloads of every shape
export async function ask(client: Client, method: string, params: object = {}): Promise<any> {
  const answer = await client.request(method, params);
  if (!answer.ok) throw new Error(`${method}: ${answer.error?.message}`);
  return answer.payload;
}

/** Says something and resolves with the frame that ends the run: chat final, error or aborted. */
export async function say(
  client: Client,
  message: string,
  { sessionKey = "main", idempotencyKey = crypto.randomUUID() } = {},
): Promise<Frame> {
  await ask(client, "chat.send", { sessionKey, message, idempotencyKey });
  return client.find(
    ({ event, payload }) => event === "chat" && payload.runId === idempotencyKey && payload.state !== "delta",
  );
}

/** Runs a command of the program to its end. */
export async function rclaw(
  stateDir: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const program = path.join(await builtProduct(), "rclaw.cjs");
  const child = spawn(process.execPath, [program, ...args], {
    env: cleanEnv(stateDir, options.env),
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // A program that does not read its input closes it; that is no failure of the test.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Processes whose command line or environment names the text; Linux only. */
export async function processesWith(text: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const parts = await Promise.all(
        ["cmdline", "environ"].map((file) => readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "")),
      );
      return parts.some((part) => part.includes(text)) ? [pid] : [];
    }),
  );
  return found.flat();
}

/** A file that is written anew goes by its temporary name for a moment. */
async function readOrNothing(file: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  });
}
