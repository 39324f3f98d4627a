import { type Command, type CommandContext, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { TerminalPorts } from "@rclaw/plugin-sdk/services/terminal";
import type { Client } from "./client.ts";
import { look } from "./look.ts";
import { localTarget, type Target, targetOf } from "./target.ts";

/** Two Ctrl-C within this time are meant for the program, not for what it does. */
const hurryMs = 500;

/** Runs one command to its exit code. */
export async function runCommand(
  load: () => Promise<Command>,
  args: readonly string[],
  help: boolean,
  ports: TerminalPorts,
): Promise<number> {
  const stop = new AbortController();
  let taken: (() => void) | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const onSignal = (): void => {
    const now = performance.now();
    // However a command takes Ctrl-C, a person can always end the program.
    if (stop.signal.aborted || now - last < hurryMs) process.exit(130);
    last = now;
    if (taken) taken();
    else stop.abort();
  };
  const onInterrupt = (handler: () => void): Disposable => {
    taken = handler;
    return { [Symbol.dispose]: () => void (taken = undefined) };
  };
  process.on("SIGINT", onSignal);
  let caller: GatewayCaller | undefined;
  try {
    const command = await load();
    // The file that says which gateway to talk to is this machine's own, and so is who edits it.
    const find = command.name === "config" ? localTarget : targetOf;
    caller = createCaller(ports, () => find(ports));
    if (!help)
      return await command.run(
        commandContext(command, args, ports, { caller, onInterrupt, signal: stop.signal }),
      );
    process.stdout.write(`${command.usage.trimEnd()}\n`);
    return 0;
  } catch (error) {
    return report(error, ports, stop.signal);
  } finally {
    process.off("SIGINT", onSignal);
    await caller?.close();
  }
}

function report(error: unknown, { json, verbose }: TerminalPorts, signal: AbortSignal): number {
  const { message, stack } = error as Error;
  const inner = isRclawError(error) ? error.details?.["code"] : undefined;
  const code = typeof inner === "string" ? inner : isRclawError(error) ? error.code : "INTERNAL";
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else process.stderr.write(`rclaw: ${message} [${code}]\n`);
  if (verbose && !isRclawError(error)) process.stderr.write(`${stack}\n`);
  if (signal.aborted) return 130;
  if (code === "GATEWAY_UNREACHABLE") return 3;
  return code === "INVALID_REQUEST" ? 2 : 1;
}

interface GatewayCaller extends Pick<CommandContext, "call" | "gateway"> {
  close(): Promise<void>;
}

/** One connection for the whole command, made at the first call; without a gateway the kernel of this process answers. */
function createCaller(kernel: TerminalPorts, find: () => Promise<Target | undefined>): GatewayCaller {
  const { version } = kernel;
  let client: Promise<Client | undefined> | undefined;
  const listeners = new Set<(event: string, payload: unknown) => void>();
  const emit = (event: string, payload: unknown): void => {
    for (const listener of listeners) listener(event, payload);
  };

  async function connect(): Promise<Client | undefined> {
    const target = await find();
    if (!target) return undefined;
    const { connectClient } = await import("./client.ts");
    return connectClient({ ...target, version, onEvent: emit });
  }

  return {
    async gateway() {
      const target = await find();
      if (!target) return undefined;
      const { url, pid } = target;
      return { url, ...(pid !== undefined && { pid }) };
    },
    async call(method, params = {}, { signal, onAccepted, onEvent } = {}) {
      client ??= connect();
      const extras = { ...(signal && { signal }), ...(onAccepted && { onAccepted }) };
      const remote = await client;
      const unlisten = remote || !onEvent ? undefined : kernel.onEvent(onEvent);
      if (onEvent) listeners.add(onEvent);
      try {
        return await (remote ? remote.call(method, params, extras) : kernel.call(method, params, extras));
      } finally {
        if (onEvent) listeners.delete(onEvent);
        unlisten?.[Symbol.dispose]();
      }
    },
    close: async () => (await client?.catch(() => undefined))?.close(),
  };
}

function commandContext(
  command: Command,
  args: readonly string[],
  { json, verbose }: TerminalPorts,
  { caller, onInterrupt, signal }: Pick<CommandContext, "onInterrupt" | "signal"> & { caller: GatewayCaller },
): CommandContext {
  const interactive = process.stdin.isTTY && process.stderr.isTTY && !json;
  const loadTerminal = () => import("./terminal.ts");
  return {
    args,
    json,
    interactive,
    ...look(),
    verbose,
    signal,
    out: (text) => void process.stdout.write(text),
    note: (text) => void process.stderr.write(`${text}\n`),
    async ask(question, options = {}) {
      if (!interactive)
        throw new RclawError(
          "INVALID_REQUEST",
          `rclaw ${command.name}: "${question}" needs an answer and nobody is at the terminal`,
        );
      return (await loadTerminal()).ask(question, options, signal);
    },
    async *lines() {
      yield* (await loadTerminal()).lines(signal);
    },
    onInterrupt,
    call: caller.call,
    gateway: caller.gateway,
  };
}
