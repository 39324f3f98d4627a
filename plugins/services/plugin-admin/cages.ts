import { type Caller, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import type { Runtime } from "@rclaw/plugin-sdk/services/lanes";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { FoundManifest, PluginAdminPorts } from "@rclaw/plugin-sdk/services/plugin-admin";
import { isWider, runtimeOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { noParams, runtimeParams } from "./methods.schema.ts";

/** What runs where, and what it has used. */
export function cageMethods(options: PluginAdminPorts, found: (id: string) => FoundManifest): KernelMethod[] {
  async function setRuntime(id: string, runtime: Runtime, widen: boolean): Promise<unknown> {
    const item = found(id);
    if (options.isService(id))
      throw new RclawError(
        "INVALID_REQUEST",
        `plugin "${id}" is a part of the gateway itself and runs in-process`,
      );
    // Throws when it has no file for that.
    runtimeOf(item, runtime);
    const before = usual(item);
    if (isWider(runtime, before) && !widen)
      throw new RclawError(
        "CONFLICT",
        `"${runtime}" gives plugin "${id}" more freedom than "${before}"; if you trust it that far: rclaw plugin trust ${id} --runtime ${runtime}`,
        { details: { plugin: id } },
      );
    const wasUp = options.status(id).state === "active";
    const isUsual = runtime === before && !isWider(runtime, before);
    await options.configure([{ path: runtimePath(id), value: isUsual ? undefined : runtime }]);
    await options.deactivate(id);
    if (wasUp) await options.activate(id);
    return { id, runtime, state: options.status(id).state };
  }

  /** All that did not come with rclaw goes off, at once; nothing is forgotten. */
  async function panic(): Promise<unknown> {
    const off = [...options.plugins().values()]
      .filter(({ builtIn, manifest }) => !builtIn && options.status(manifest.id).enabled)
      .map(({ manifest }) => manifest.id);
    await options.configure([
      { path: "plugins.enabled", value: false },
      ...off.map((id) => ({ path: `plugins.entries.${id}.enabled`, value: false })),
    ]);
    for (const id of off) await options.deactivate(id);
    return { off };
  }

  const top = (): unknown => ({
    plugins: [...options.plugins().keys()].flatMap((id) => {
      const use = options.use(id);
      return use ? [{ id, ...use }] : [];
    }),
  });

  return [
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "plugins.runtime",
        since: "rclaw",
        params: runtimeParams,
        handle({ params: { id, runtime, widen = false }, caller }) {
          forPeople(caller, "plugins.runtime");
          return setRuntime(id, runtime, widen);
        },
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({ name: "plugins.panic", since: "rclaw", params: noParams, handle: () => panic() }),
    },
    {
      scope: "operator.read",
      ...defineMethod({ name: "plugins.top", since: "rclaw", params: noParams, handle: async () => top() }),
    },
  ];
}

const runtimePath = (id: string): string => `plugins.entries.${id}.runtime`;

/** What it would run as if nobody had said anything; wasm for what would not run at all. */
function usual(item: FoundManifest): Runtime {
  try {
    return runtimeOf(item, undefined);
  } catch {
    return "wasm";
  }
}

/** Where a plugin runs now, or why it cannot. */
export function placeOf(
  item: FoundManifest,
  config: unknown,
): { readonly runtime: Runtime; readonly refusal?: string } {
  try {
    return { runtime: runtimeOf(item, valueAt(config, runtimePath(item.manifest.id))) };
  } catch (error) {
    return { runtime: item.manifest.runtime, refusal: (error as Error).message };
  }
}

/** What gives rights is for people: a plugin, and the model that speaks through one, cannot give itself any. */
export function forPeople({ kind, principal }: Caller, method: string): void {
  if (kind !== "plugin") return;
  throw new RclawError("PERMISSION_DENIED", `${principal} called ${method}, which is for people only`);
}
