import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import type { Methods } from "../gateway/methods.ts";
import type { HookBus } from "../hooks/bus.ts";
import { Lifetime } from "../lifetime.ts";
import { hooksOf } from "./catalog.ts";

/** What enabled plugins' manifests say, made known without running any of them. */
export function createDeclarations({
  methods,
  hooks,
}: {
  readonly methods: Methods;
  readonly hooks: HookBus;
}) {
  const declared = new Map<string, Lifetime>();

  async function remove(id: string): Promise<void> {
    await declared.get(id)?.[Symbol.asyncDispose]();
    declared.delete(id);
  }

  return {
    add({ manifest }: FoundManifest): void {
      if (declared.has(manifest.id)) return;
      const lifetime = new Lifetime();
      declared.set(manifest.id, lifetime);
      for (const [name, access] of Object.entries(manifest.contributes.methods ?? {})) {
        const { scope, ...role } =
          typeof access === "string" ? { scope: access } : { scope: null, ...access };
        const entry = methods.declare({ name, scope, owner: manifest.id, ...role });
        lifetime.defer(() => entry[Symbol.dispose]());
      }
      for (const hook of hooksOf(manifest)) {
        const interest = hooks.declare({ ...hook, plugin: manifest.id });
        lifetime.defer(() => interest[Symbol.dispose]());
      }
    },
    remove,
    removeAll: () => Promise.all([...declared.keys()].map(remove)),
  };
}
