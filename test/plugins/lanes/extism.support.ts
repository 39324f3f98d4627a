import { readFileSync } from "node:fs";
import type { Asked, ToolPlace } from "@rclaw/plugin-sdk/boundary/calls";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";
import { openExtism } from "../../../plugins/services/lanes/extism.ts";
import type { GuestPorts } from "../../../plugins/services/lanes/guest.ts";

export const place: ToolPlace = {
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "run",
  toolCallId: "1",
  isOwner: true,
};

const limits: LaneLimits = {
  memoryBytes: 32 * 1024 * 1024,
  tableEntries: 10_000,
  loadMs: 5_000,
  callMs: 30_000,
  entryMs: 5_000,
  resultBytes: 1024 * 1024,
  hostCalls: 1_000,
  logLines: 100,
  hostBytes: 16 * 1024 * 1024,
};

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

/** A core module in this thread, with a host that answers from a table. */
export async function openGuest(
  wasm: string | Uint8Array,
  options: {
    readonly id?: string;
    readonly limits?: Partial<LaneLimits>;
    readonly verbs?: Readonly<Record<string, (params: never, call: number | undefined) => unknown>>;
  } = {},
) {
  const log: Line[] = [];
  let lastId = 0;
  const ports: GuestPorts = {
    id: options.id ?? "guest",
    limits: { ...limits, ...options.limits },
    host: {
      async call(method, params) {
        if (method === "log") log.push(params as Line);
        return null;
      },
    },
    hostSync(method, params, call) {
      const verb = options.verbs?.[method];
      if (!verb) throw new Error(`the test's host has no ${method}`);
      return verb(params as never, call);
    },
    enter: (fn) => fn(),
  };
  const module = new WebAssembly.Module(typeof wasm === "string" ? readFileSync(wasm) : wasm);
  const guest = await openExtism(module, ports);
  const ask = <Name extends keyof Asked>(
    method: Name,
    params: Asked[Name]["params"],
  ): Promise<Asked[Name]["result"]> =>
    guest.handle({
      id: ++lastId,
      method,
      params,
      signal: new AbortController().signal,
      emit: async () => undefined,
    });
  return {
    guest,
    log,
    ask,
    activate: (config: unknown = {}) => ask("activate", { id: ports.id, version: "1.0.0", config, env: {} }),
    tool: (name: string, params: unknown = {}) => ask("tool.execute", { name, params, context: place }),
    [Symbol.asyncDispose]: async () => void (await ask("deactivate", null)),
  };
}
