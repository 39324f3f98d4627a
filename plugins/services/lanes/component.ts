import { pathToFileURL } from "node:url";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Handler, Incoming } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Reactor } from "@rclaw/plugin-sdk/boundary/reactor";
import { clockImports } from "./component-clock.ts";
import { directKind } from "./component-direct.ts";
import { serveReactor } from "./component-reactor.ts";
import type { Guest, GuestPorts } from "./guest.ts";
import { adapterFor, type Contract, contract, type Exports, type Imports } from "./versions.ts";

/** A transpiled component whose core modules were bounded and compiled. */
export interface ComponentProgram {
  /** The JavaScript that instantiates it. */
  readonly script: string;
  /** By the names that the script asks for. */
  readonly modules: Readonly<Record<string, WebAssembly.Module>>;
  readonly world: string;
  /** Of the contract it was built for. */
  readonly version: string;
}

interface Script {
  instantiate(
    getCoreModule: (name: string) => WebAssembly.Module,
    imports: object,
    instantiateCore: (module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance,
  ): Exports | Promise<Exports>;
}

/** What speaks to one instance. It is dropped with it. */
export interface Serving {
  readonly handle: Handler;
  /** The instance is gone: fails what waits for it. */
  end(error: RclawError): void;
}

/** How a world is served. */
export interface Kind {
  open(ports: GuestPorts): {
    readonly imports: Imports;
    /** `broken` says that the instance may not be used any more. */
    serve(exported: Exports, broken: (error: RclawError) => void): Serving;
  };
}

const reactorKind: Kind = {
  open: (ports) => ({
    imports: clockImports(),
    serve: (exported, broken) => serveReactor(exported["reactor"] as Reactor, ports, broken),
  }),
};
const kinds: Readonly<Record<string, Kind>> = {
  "reactor-plugin": reactorKind,
  "tool-plugin": directKind,
  "hook-plugin": directKind,
  "tool-and-hook-plugin": directKind,
};

/**
 * Brings a transpiled component to life. Its imports are exactly those given here. An instance that trapped
 * cannot be entered again: it is dropped, and the next call gets a fresh one, activated as the first was.
 */
export async function openComponent(
  { script, modules, world, version }: ComponentProgram,
  ports: GuestPorts,
  spoken: Contract = contract,
): Promise<Guest> {
  const adapter = adapterFor(version, `plugin "${ports.id}"`, spoken);
  const kind = kinds[world]?.open(ports);
  if (!kind)
    throw new RclawError("ARTEFACT_REFUSED", `plugin "${ports.id}" is built for the unknown world ${world}`);
  const { imports, serve } = kind;
  const program = (await import(pathToFileURL(script).href)) as Script;
  const memories = new Set<WebAssembly.Memory>();
  let serving: Promise<Serving> | undefined;
  let activation: unknown;

  async function instantiate(): Promise<Serving> {
    memories.clear();
    const given: Record<string, unknown> = {};
    // Types name the version, transpiled code does not.
    for (const [name, functions] of Object.entries(adapter.imports(imports)))
      given[`rclaw:plugin/${name}`] = given[`rclaw:plugin/${name}@${version}`] = functions;
    const exported = await program.instantiate(
      (name) => {
        const module = modules[name];
        if (module) return module;
        throw new RclawError("PLUGIN_FAILED", `plugin "${ports.id}" lacks its module ${name}`);
      },
      given,
      (module, linked) => {
        const instance = ports.enter(() => new WebAssembly.Instance(module, linked));
        for (const value of Object.values(instance.exports))
          if (value instanceof WebAssembly.Memory) memories.add(value);
        return instance;
      },
    );
    const made: Serving = serve(adapter.exports(exported), (error) => {
      if (current !== made) return;
      serving = current = undefined;
      made.end(error);
    });
    return (current = made);
  }
  let current: Serving | undefined;

  async function live(): Promise<Serving> {
    serving ??= revive();
    try {
      return await serving;
    } catch (error) {
      serving = undefined;
      throw error;
    }
  }

  async function revive(): Promise<Serving> {
    const made = await instantiate();
    if (activation !== undefined) await made.handle(quiet("activate", activation));
    return made;
  }

  await live();
  return {
    async handle(call) {
      if (call.method === "activate") {
        // A fresh instance must not be activated twice.
        activation = undefined;
        const made = await live();
        const offer = await made.handle(call);
        activation = call.params;
        return offer;
      }
      return (await live()).handle(call);
    },
    memoryBytes: () => {
      let bytes = 0;
      for (const memory of memories) bytes += memory.buffer.byteLength;
      return bytes;
    },
  };
}

/** Numbers of calls that no frame asked for. The host's own begin at 1 and stay far below. */
let lastQuiet = 0x8000_0000;
function quiet(method: string, params: unknown): Incoming {
  return {
    id: (lastQuiet = lastQuiet >= 0xffff_fffe ? 0x8000_0000 : lastQuiet + 1),
    method,
    params,
    signal: new AbortController().signal,
    emit: () => Promise.resolve(),
  };
}
