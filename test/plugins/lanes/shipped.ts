import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Manifest, Plugin } from "@rclaw/plugin-sdk";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import type { Lanes } from "@rclaw/plugin-sdk/services/lanes";
import { netGrants, secretBindings } from "@rclaw/plugin-sdk/services/net-grants";
import { entriesOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { createTestContext, type TestContext, type TestContextOptions } from "@rclaw/plugin-sdk/testing";
import JSON5 from "json5";
import { beforeAll, vi } from "vitest";
import { silent } from "../../../kernel/log.ts";
import { loadModule } from "../../../kernel/runtime/in-process.ts";
import { createEgress } from "../../../plugins/services/egress/egress.ts";
import { createSecretHandles } from "../../../plugins/services/egress/secrets.ts";
import { builtProduct } from "../../support/build.ts";
import { closers, openLanes } from "./setup.ts";

// The product may have to be built first.
beforeAll(async () => void (await builtProduct()));
vi.setConfig({ testTimeout: 20_000, hookTimeout: 120_000 });

export const cages = ["in-process", "worker", "wasm"] as const;
export type Cage = (typeof cages)[number];

export interface Living<Config> extends TestContext<Config> {
  /** The cages it lives in; none in-process. */
  readonly lanes: Lanes | undefined;
  /** Ends this life of it and begins the next one, with what it stored. */
  again(): Promise<void>;
  stored(key: string): unknown;
}

export interface LivingOptions<Config> extends Pick<TestContextOptions<Config>, "secrets"> {
  readonly config?: Partial<Config>;
}

/**
 * A plugin that ships with rclaw, as the build made it, in one of the cages; its network is the real egress
 * with what its manifest asks for, and caged it sees handles where secrets are.
 */
export async function shipped<Config>(
  cage: Cage,
  name: string,
  { config: given = {}, secrets = {} }: LivingOptions<Config> = {},
): Promise<Living<Config>> {
  const dist = await builtProduct();
  const root = path.dirname(dist);
  const file = path.join(root, "manifests", `${name}.json5`);
  const manifest: Manifest = JSON5.parse(await readFile(file, "utf8"));
  const { entry, wasm = "" } = entriesOf(manifest);
  const config = withDefaults(manifest.configSchema ?? {}, given) as Config;
  const stored = new Map<string, unknown>();
  const lanes = cage === "in-process" ? undefined : (await openLanes()).lanes;
  const egress = createEgress({ log: silent });
  closers.push(() => egress.close());
  const resolve = async (secret: string): Promise<string> => secrets[secret] ?? "";

  async function begin(): Promise<TestContext<Config>> {
    const rclaw = createTestContext<Config>({ id: manifest.id, manifest, config, secrets });
    const handles =
      cage === "in-process"
        ? undefined
        : createSecretHandles({ owner: manifest.id, bindings: secretBindings(manifest, config), resolve });
    const grants = () => netGrants(manifest, config);
    const options = { signal: rclaw.context.signal, ...(handles && { secrets: handles }) };
    const world = {
      ...rclaw.context,
      fetch: egress.fetchFor(grants, manifest.id, options),
      webSocket: egress.webSocketFor(grants, manifest.id, options),
      ...(handles && {
        secrets: {
          ...rclaw.context.secrets,
          get: (secret: string) => handles.handleFor(secret),
          resolve: (value: string) => handles.resolve(value),
        },
      }),
      storage: {
        get: async (key: string) => structuredClone(stored.get(key)),
        set: async (key: string, value: unknown) => void stored.set(key, structuredClone(value)),
        where: async () => "/state/storage.json",
      },
    };
    const plugin = lanes
      ? await lanes.load(
          {
            manifest,
            entry: path.join(dist, entry.replace(/\.js$/, ".cjs")),
            wasm: path.join(dist, wasm),
            file,
            builtIn: true,
          },
          cage === "worker" ? "worker" : "wasm",
        )
      : ((await loadModule(path.join(root, entry.replace(/\.js$/, ".ts")))) as Plugin<Config>);
    await rclaw.activate({ activate: () => (plugin as Plugin<Config>).activate(world) });
    return rclaw;
  }

  let current = await begin();
  closers.push(() => current[Symbol.asyncDispose]());
  const living = {
    lanes,
    stored: (key: string) => stored.get(key),
    async again() {
      await current[Symbol.asyncDispose]();
      current = await begin();
    },
  };
  // Members of the life that is on now.
  return new Proxy(living as Living<Config>, {
    get: (target, key) => Reflect.get(key in target ? target : current, key) as unknown,
  });
}
