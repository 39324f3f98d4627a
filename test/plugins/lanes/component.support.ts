import { createHash } from "node:crypto";
import path from "node:path";
import type { CallOptions, Incoming } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";
import { openComponent } from "../../../plugins/services/lanes/component.ts";
import type { Guest, GuestPorts } from "../../../plugins/services/lanes/guest.ts";
import { modulesOf } from "../../../plugins/services/lanes/modules.ts";
import { type ComponentSource, transpile } from "../../../plugins/services/lanes/transpile.ts";
import { buildComponent } from "../../../plugins/services/cli/author/build-component.ts";
import { builtProduct } from "../../support/build.ts";

const root = path.resolve(import.meta.dirname, "../../..");

const defaultLimits: LaneLimits = {
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

export async function transpilerChild(): Promise<string> {
  return path.join(await builtProduct(), "plugins/services/lanes/transpile-child.cjs");
}

export const componentSource = (bytes: Uint8Array): ComponentSource => ({
  sha256: createHash("sha256").update(bytes).digest("hex"),
  bytes: () => Promise.resolve(bytes),
});

export function buildFixture(name: string): Promise<Uint8Array> {
  return buildComponent({
    entry: path.join(root, "test/fixtures/guest", name),
    witFolder: path.join(root, "wit/since-v0.1.0"),
    sdkFolder: path.join(root, "plugin-sdk"),
    serve: path.join(root, "test/fixtures/guest/serve.ts"),
  });
}

type HostCall = (params: never, options: CallOptions) => unknown;

export interface Host {
  readonly answers: Record<string, HostCall>;
  readonly logged: { level: string; message: string }[];
}

/** A component, and a host that answers its requests by hand. */
export async function open(
  bytes: Uint8Array,
  cache: string,
  host: Host,
  limits: Partial<LaneLimits> = {},
): Promise<Guest> {
  const signal = AbortSignal.timeout(30_000);
  const { folder, script, world, version } = await transpile(componentSource(bytes), cache, signal, {
    child: await transpilerChild(),
  });
  const own = { ...defaultLimits, ...limits };
  const modules = await modulesOf(folder, own);
  const ports: GuestPorts = {
    id: "guest",
    limits: own,
    host: {
      async call(method, params, options = {}) {
        if (method === "log") return void host.logged.push(params as { level: string; message: string });
        const answer = host.answers[method];
        if (!answer) throw new Error(`the host was asked for ${method}`);
        return answer(params as never, options);
      },
    },
    hostSync(method, params) {
      const answer = host.answers[method];
      if (!answer) throw new Error(`the host was asked for ${method}`);
      return answer(params as never, {});
    },
    enter: (fn) => fn(),
  };
  return openComponent({ script, modules, world, version }, ports);
}

let lastId = 0;
export function asked(method: string, params: unknown = null, given: Partial<Incoming> = {}): Incoming {
  const { signal = new AbortController().signal, emit = () => Promise.resolve() } = given;
  return { id: ++lastId, method, params, signal, emit };
}
