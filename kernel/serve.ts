import { isRclawError } from "@rclaw/plugin-sdk";
import type { Kernel } from "./kernel.ts";
import type { GlobalOptions } from "./options.ts";

/** `rclaw gateway`: serves until it is told to stop. Resolves with the exit code. */
export async function serve(options: GlobalOptions, args: readonly string[]): Promise<number> {
  const [stray] = args;
  if (stray !== undefined) {
    process.stderr.write(`rclaw gateway: unexpected "${stray}". See: rclaw --help\n`);
    return 2;
  }
  startUnoptimised();
  const { openKernel } = await import("./open.ts");
  const kernel = await openKernel(options, "file");
  const stopped = stopOnSignals(kernel, options);
  const stopWatching = watchForStrays(kernel);
  try {
    const at = await kernel.start(options.port === undefined ? {} : { port: options.port });
    const { stateDir, configFile } = kernel;
    const page = kernel.pageUrl(at.url);
    if (options.json) process.stdout.write(`${JSON.stringify({ ...at, pid: process.pid, stateDir })}\n`);
    else {
      const { showStart } = await kernel.service("terminal");
      const { version } = options;
      await showStart({ ...at, ...kernel, version, page, configFile, stateDir, warnings: kernel.warnings() });
    }
    if (options.openUi) await (await kernel.service("terminal")).openPage(page);
    const code = await stopped.done;
    // A timer or socket that a plugin left behind must not hold the process.
    setTimeout(() => process.exit(code), 1_000).unref();
    return code;
  } catch (error) {
    await kernel.stop("could not start").catch(() => undefined);
    if (!isRclawError(error)) throw error;
    process.stderr.write(`rclaw: ${error.message} [${error.code}]\n`);
    return 1;
  } finally {
    stopped.forget();
    stopWatching();
  }
}

/**
 * What is busy for the first moments is not what will be: compiling it to machine code is
 * wasted, and the pages of V8's compilers cost a gateway that then only waits 4 to 5 MB.
 */
function startUnoptimised(): void {
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  for (const flag of ["--no-opt", "--no-sparkplug"]) setFlagsFromString(flag);
  setTimeout(() => {
    for (const flag of ["--opt", "--sparkplug"]) setFlagsFromString(flag);
  }, 1_500).unref();
}

/** npm passes on what the terminal has sent to the whole group already, as timeout(1) does: one Ctrl-C comes twice. */
const echoMs = process.env["npm_lifecycle_event"] === "start" ? 200 : 2;

function stopOnSignals(kernel: Kernel, { json }: GlobalOptions): { done: Promise<number>; forget(): void } {
  let askedAt = Number.NaN;
  let finish: (code: number) => void = () => undefined;
  const done = new Promise<number>((resolve) => (finish = resolve));
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (now - askedAt < echoMs) return;
    if (askedAt > 0) process.exit(130);
    askedAt = now;
    if (!json)
      process.stderr.write("\nStopping: running answers get up to 10 s. Ctrl-C again ends it at once.\n");
    kernel.stop(signal).then(
      () => finish(0),
      (error: unknown) => {
        process.stderr.write(`rclaw: stopping failed: ${(error as Error).message}\n`);
        finish(1);
      },
    );
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) process.on(name, onSignal);
  return {
    done,
    forget() {
      for (const name of signals) process.off(name, onSignal);
    },
  };
}

/**
 * What fails outside any call - a timer of a plugin that throws, a promise nobody
 * waits for - is laid at the door of the plugin whose file it came from. What
 * came from the kernel itself ends the process: its state can no longer be trusted.
 */
function watchForStrays(kernel: Kernel): () => void {
  const onStray = (error: unknown): void => {
    if (kernel.blame(error)) return;
    kernel.log.error({ err: error }, "the gateway failed and stops");
    process.stderr.write(`rclaw: the gateway failed and stops: ${(error as Error | undefined)?.message}\n`);
    void kernel.stop("internal error").finally(() => process.exit(70));
    setTimeout(() => process.exit(70), 3_000).unref();
  };
  process.on("uncaughtException", onStray);
  process.on("unhandledRejection", onStray);
  return () => {
    process.off("uncaughtException", onStray);
    process.off("unhandledRejection", onStray);
  };
}
