import { type MessagePort, parentPort } from "node:worker_threads";
import { pathToFileURL } from "node:url";
import { isRclawError, type Plugin, RclawError } from "@rclaw/plugin-sdk";
import type { Ask } from "@rclaw/plugin-sdk/boundary/calls";
import {
  type Endpoint,
  type Handler,
  portEndpoint,
  toWireError,
  type WireError,
} from "@rclaw/plugin-sdk/boundary/endpoint";
import { servePlugin } from "@rclaw/plugin-sdk/guest/serve";
import { stayAwake } from "./awake.ts";
import { createAsker } from "./bridge.ts";
import type { Guest, GuestPorts } from "./guest.ts";
import { type LoadTask, meter, meterOf, pulse, pulseOf } from "./load.ts";
import { coreModule, modulesOf } from "./modules.ts";

/** Calls come in rows: the next one is often on its way. */
const awakeMs = 0.2;
let watched: MessagePort | undefined;

/** Answers the watchman: a thread that computes cannot. */
function watch(control: MessagePort, buffer: SharedArrayBuffer): void {
  const state = pulseOf(buffer);
  watched?.close();
  watched = control;
  control.on("message", (count: number) => Atomics.store(state, pulse.answered, count));
  control.unref();
}

/** The task of the thread: one plugin's life in it. Answers why it could not begin; an error would lose its code on the way. */
export default async function live(task: LoadTask): Promise<WireError | undefined> {
  watch(task.control, task.pulse);
  const { port, bridge } = task;
  // No script stands still for its host: one way less to it.
  if (task.program.kind === "js") bridge.close();
  const gone = new Promise<void>((resolve) => port.once("close", () => resolve()));
  let handle: Handler | undefined;
  // The first calls wait in the port until the plugin is there; its way to the host must stand before it is.
  const waiting: (() => void)[] = [];
  const ready = new Promise<void>((resolve) => waiting.push(resolve));
  const endpoint = portEndpoint(port, async (call) => {
    await ready;
    try {
      return await (handle as Handler)(call);
    } finally {
      stayAwake(awakeMs);
    }
  });
  try {
    handle = await handlerOf(task, endpoint);
    for (const go of waiting) go();
    await gone;
    return undefined;
  } catch (error) {
    return isRclawError(error) ? toWireError(error) : wordsOf(task.id, error);
  } finally {
    endpoint[Symbol.dispose]();
    bridge.close();
  }
}

function wordsOf(id: string, error: unknown): WireError {
  const words = error instanceof Error ? error.message : String(error);
  return { code: "PLUGIN_FAILED", message: `plugin "${id}" could not be loaded: ${words}` };
}

async function handlerOf(task: LoadTask, endpoint: Endpoint): Promise<Handler> {
  const { program } = task;
  if (program.kind === "js") {
    const ask = ((method, params, options) => endpoint.call(method, params, options)) as Ask;
    return servePlugin(await loadPlugin(task.id, program.entry, ask), ask);
  }
  const ports = portsOf(task, endpoint);
  let guest: Guest;
  if (program.kind === "core") {
    const { openExtism } = await import("./extism.ts");
    guest = await openExtism(await coreModule(program.file, task.limits), ports);
  } else {
    const { openComponent } = await import("./component.ts");
    const modules = await modulesOf(program.folder, task.limits);
    guest = await openComponent({ ...program, modules }, ports);
  }
  const counts = meterOf(task.meter);
  return async (call) => {
    try {
      return await guest.handle(call);
    } finally {
      counts[meter.bytes] = Math.max(counts[meter.bytes] ?? 0, guest.memoryBytes());
    }
  };
}

function portsOf(
  { id, limits, bridge, bell, slot, pulse: buffer, meter: numbers }: LoadTask,
  host: Endpoint,
) {
  const state = pulseOf(buffer);
  const counts = meterOf(numbers);
  const ask = createAsker(bridge, bell);
  const asked = new Map<number | undefined, number>();
  let entered = 0;
  let begun = 0;
  const ports: GuestPorts = {
    id,
    limits,
    host,
    hostSync(method, params, call) {
      const count = (asked.get(call) ?? 0) + 1;
      // Only the last call is remembered: calls of a guest that waits do not overlap.
      asked.clear();
      asked.set(call, count);
      if (count > limits.hostCalls)
        throw new RclawError(
          "RATE_LIMITED",
          `plugin "${id}" asked its host more than ${limits.hostCalls} times in one call`,
        );
      Atomics.store(state, pulse.waiting, 1);
      const paused = performance.now();
      try {
        return ask(method, call === undefined ? params : { ...(params as object), call });
      } finally {
        begun += performance.now() - paused;
        Atomics.store(state, pulse.waiting, 0);
      }
    },
    enter(fn) {
      entered += 1;
      if (entered === 1) {
        begun = performance.now();
        Atomics.store(state, pulse.slot, slot);
      }
      try {
        return fn();
      } finally {
        entered -= 1;
        if (entered === 0) {
          counts[meter.cpuMs] = (counts[meter.cpuMs] ?? 0) + performance.now() - begun;
          Atomics.store(state, pulse.slot, 0);
        }
      }
    },
  };
  return ports;
}

/** Trusted code in a thread of its own. What it prints is for the log. */
async function loadPlugin(id: string, entry: string, ask: Ask): Promise<Plugin> {
  const write =
    (level: "debug" | "info" | "warn" | "error") =>
    (...words: readonly unknown[]): void =>
      void ask("log", { level, message: words.map(String).join(" "), fields: {} }).catch(() => undefined);
  Object.assign(console, {
    log: write("info"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    debug: write("debug"),
  });
  // Code that finds itself in a thread may greet whoever started it. Nobody is there who would listen.
  if (parentPort) Object.defineProperty(parentPort, "postMessage", { value: () => undefined });
  const loaded: unknown = await import(pathToFileURL(entry).href);
  const plugin = unwrap(unwrap(loaded));
  if (typeof (plugin as Partial<Plugin> | undefined)?.activate === "function") return plugin as Plugin;
  throw new RclawError(
    "PLUGIN_FAILED",
    `plugin "${id}": its entry has no default export made by definePlugin()`,
  );
}

function unwrap(module: unknown): unknown {
  return typeof module === "object" && module !== null && "default" in module ? module.default : module;
}
