import type { CallContext, ExtismPluginOptions, Plugin } from "@extism/extism";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { Asked, Offer } from "@rclaw/plugin-sdk/boundary/calls";
import type { Incoming } from "@rclaw/plugin-sdk/boundary/endpoint";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import type { Guest, GuestPorts } from "./guest.ts";
import { adapterOf, answerOf, offerOf } from "./extism-abi.ts";
import { type Entry, extismFunctions, type HostState, newEntry, textOf } from "./extism-host.ts";
import { loadExtism } from "./extism-sdk.ts";
import { denyAllWasi, GuestExit } from "./extism-wasi.ts";
import { contract, type Contract, identity } from "./versions.ts";
import { parseGuestJson } from "./guest-json.ts";
import { guestLog } from "./guest-log.ts";

/** Of the SDK's own functions those that a plugin may have as they are: they only reach blocks, by number. */
const fromSdk =
  "free load_u8 load_u64 store_u8 store_u64 input_offset input_length input_load_u8 input_load_u64 length length_unsafe".split(
    " ",
  );
/** What the SDK calls the module; naming it spares a look through all exports at every call. */
const target = "guest";
const encoder = new TextEncoder();
/** The SDK's own idea of a log has no limit, so nothing of it is used. */
const silent = Object.fromEntries(
  Object.keys(console).map((method) => [method, () => undefined]),
) as unknown as Console;

type HostFunction = (context: CallContext, ...args: never[]) => unknown;
type Imports = Record<string, Record<string, HostFunction>>;
type SdkFunctions = NonNullable<ExtismPluginOptions["functions"]>;

interface Live {
  readonly plugin: Plugin;
  readonly memories: readonly WebAssembly.Memory[];
}

/** A core module with the Extism ABI, brought to life in this thread. docs/wit.md says what it exports and may import. */
export async function openExtism(
  module: WebAssembly.Module,
  ports: GuestPorts,
  spoken: Contract = contract,
): Promise<Guest> {
  const { id, limits } = ports;
  const log = guestLog(ports.host, limits.logLines);
  const state: HostState = { entry: newEntry(), config: {}, context: undefined };
  let memory: WebAssembly.Memory | undefined;
  let live: Live | undefined;
  let isActive = false;
  let adapter = identity;
  // The SDK's blocks belong to one call at a time.
  const inTurn = createTurns();

  /** Anew for every instance, so that nothing of a broken one is left in what they remember. */
  function importsOf(): Imports {
    const { rclaw_call, ...env } = extismFunctions(state, ports, log);
    const wasi = denyAllWasi({ memory: () => memory, log, maxSleepMs: limits.entryMs });
    return {
      "extism:host/env": env,
      "extism:host/user": { ...(rclaw_call && { rclaw_call }) },
      wasi_snapshot_preview1: Object.fromEntries(
        Object.entries(wasi).map(([key, fn]) => [key, (_context, ...args) => fn(...args)]),
      ),
    };
  }

  refuseUnknown(module, id, importsOf());
  const exported = new Set(
    WebAssembly.Module.exports(module).flatMap((item) => (item.kind === "function" ? [item.name] : [])),
  );
  if (!exported.has("rclaw_describe"))
    throw new RclawError(
      "ARTEFACT_REFUSED",
      `plugin "${id}": the module exports no function rclaw_describe; build it as a library, as this version's template does`,
    );
  const createPlugin = await loadExtism();

  async function instantiate(): Promise<Live> {
    memory = undefined;
    const plugin = await createPlugin(
      { wasm: [{ module, name: target }] },
      // Its type asks for functions of any arguments; ours say which ones the ABI gives them.
      {
        functions: importsOf() as unknown as SdkFunctions,
        logger: silent,
        fetch: () => Promise.reject(new Error("not for plugins")),
      },
    );
    const { exports } = await plugin.getInstance(target);
    const memories = Object.values(exports).filter(
      (value): value is WebAssembly.Memory => value instanceof WebAssembly.Memory,
    );
    memory = exports["memory"] instanceof WebAssembly.Memory ? exports["memory"] : undefined;
    // Go and C++ set up their own world here. The SDK would only do it together with WASI of its own.
    const start = exports["_initialize"];
    if (typeof start === "function") ports.enter(() => void start());
    return { plugin, memories };
  }

  /** Loading runs code of the guest too: a start section, and whatever its toolchain puts before everything else. */
  async function alive(): Promise<Live> {
    if (live) return live;
    state.entry = newEntry();
    try {
      const fresh = await instantiate();
      if (state.entry.failure) throw state.entry.failure;
      live = fresh;
    } catch (error) {
      throw explain("its start", error);
    }
    if (isActive) await init();
    return live;
  }

  async function init(): Promise<void> {
    if (!exported.has("rclaw_init")) return;
    const text = await enter("rclaw_init", adapter.input("rclaw_init", state.config), newEntry());
    if (text !== "") answerOf(parse("rclaw_init", text), id, "rclaw_init");
  }

  /** Calls an export that answers `{"ok": ...}` or `{"err": ...}`. */
  async function ask(name: string, input: unknown, entry: Entry): Promise<unknown> {
    if (!exported.has(name))
      throw new RclawError(
        "INVALID_REQUEST",
        `plugin "${id}" does not support that: its module exports no function ${name}`,
      );
    const answer = answerOf(parse(name, await enter(name, adapter.input(name, input), entry)), id, name);
    return adapter.output(name, answer);
  }

  /** Runs an export of the guest. After a trap the instance may be in any state, so the next call gets a new one. */
  async function enter(name: string, input: unknown, entry: Entry): Promise<string> {
    const { plugin } = live ?? (await alive());
    const bytes = encoder.encode(JSON.stringify(input));
    state.entry = entry;
    try {
      try {
        await ports.enter(() => plugin.call([target, name], bytes));
        if (entry.failure) throw entry.failure;
      } catch (error) {
        live = undefined;
        throw explain(name, error);
      }
      const { context } = state;
      if (context && entry.error)
        throw failed(`${name} failed: ${textOf(context, entry.error).slice(0, 4_096)}`);
      return context && entry.output ? textOf(context, entry.output) : "";
    } finally {
      // Blocks live as long as the call that they were made in.
      await plugin.reset();
    }
  }

  function parse(name: string, text: string): unknown {
    if (text === "") throw failed(`${name} answered nothing`);
    try {
      return parseGuestJson(text, { maxBytes: limits.resultBytes, maxDepth: 64 });
    } catch (error) {
      if (!isRclawError(error)) throw error;
      throw new RclawError(error.code, `plugin "${id}": ${name}: ${error.message}`, { cause: error });
    }
  }

  const failed = (what: string, cause?: unknown): RclawError =>
    new RclawError("PLUGIN_FAILED", `plugin "${id}": ${what}`, { cause });

  function explain(name: string, error: unknown): RclawError {
    if (isRclawError(error)) return error;
    if (error instanceof GuestExit) return failed(`${name} ended with exit code ${error.code}`, error);
    const { name: kind, message } = error as Error;
    if (kind === "RangeError" && /call stack/.test(message))
      return failed(`${name} called itself too often and ran out of stack`, error);
    // What the engine says is about the guest; any other error is ours, and not for the guest's readers.
    const isTrap = kind === "RuntimeError" || kind === "RangeError";
    return failed(isTrap ? `${name} crashed: ${message}` : `${name} crashed`, error);
  }

  async function activate({ config }: Asked["activate"]["params"]): Promise<Offer> {
    isActive = false;
    state.config = typeof config === "object" && config !== null ? { ...config } : {};
    const described = parse("rclaw_describe", await enter("rclaw_describe", {}, newEntry()));
    adapter = adapterOf(described, id, spoken);
    const offer = offerOf(adapter.output("rclaw_describe", described), id);
    await init();
    isActive = true;
    return offer;
  }

  async function answer({ id: call, method, params, signal }: Incoming): Promise<unknown> {
    if (signal.aborted) throw new RclawError("ABORTED", `nobody waits for ${method} any longer`);
    switch (method) {
      case "activate":
        return activate(params as Asked["activate"]["params"]);
      case "tool.execute": {
        const { name, params: given, context } = params as Asked["tool.execute"]["params"];
        const entry = newEntry(call, context);
        const result = await ask("rclaw_tool_execute", { name, params: given, context }, entry);
        if (typeof (result as { content?: unknown } | null)?.content === "string") return result;
        throw failed(`tool ${name} answered something else than a result`);
      }
      case "hook": {
        const { name, event, context } = params as Asked["hook"]["params"];
        const result = await ask("rclaw_hook", { name, event, context }, newEntry(call));
        if (typeof result === "object" && !Array.isArray(result)) return result;
        throw failed(`hook ${name} answered something else than an object or null`);
      }
      case "deactivate":
        isActive = false;
        live = memory = state.context = undefined;
        log.end();
        return null;
    }
    throw new RclawError(
      "INVALID_REQUEST",
      `plugin "${id}" does not support "${method}": a core module has tools and hooks`,
    );
  }

  await alive();
  return {
    handle: (call) => inTurn(() => answer(call)),
    memoryBytes: () => live?.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0) ?? 0,
  };
}

/** What is not imported cannot be called, so everything that a module wants is looked at before any of it runs. */
function refuseUnknown(module: WebAssembly.Module, id: string, imports: Imports): void {
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    const isKnown =
      (from === "extism:host/env" && fromSdk.includes(name)) ||
      (Object.hasOwn(imports, from) && Object.hasOwn(imports[from] ?? {}, name));
    if (isKnown && kind === "function") continue;
    throw new RclawError(
      "ARTEFACT_REFUSED",
      `plugin "${id}": the module imports ${kind} ${JSON.stringify(`${from}.${name}`.slice(0, 200))}, which rclaw does not offer; docs/wit.md lists what it does`,
    );
  }
}
