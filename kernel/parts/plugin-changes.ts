import { isDeepStrictEqual } from "node:util";
import type { Logger, Manifest } from "@rclaw/plugin-sdk";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { type Catalog, configPathOf } from "../plugins/catalog.ts";
import type { createDeclarations } from "../plugins/declarations.ts";
import type { PluginHost } from "../plugins/host.ts";
import type { Settings } from "../settings.ts";

export interface PluginChangesOptions {
  readonly settings: Settings;
  readonly host: PluginHost;
  readonly declarations: ReturnType<typeof createDeclarations>;
  readonly log: Logger;
  catalog(): Catalog;
  isEnabled(manifest: Manifest): boolean;
  runsByItself(manifest: Manifest): boolean;
  /** Looks at the plugins folder again; the catalog is another one afterwards. */
  discover(): Promise<void>;
  /** Goes on with a caged plugin's files as they are now; false when that is not possible. */
  swap(id: string): Promise<boolean>;
}

/** What a changed configuration and a changed plugins folder mean for plugins that run. */
export function createPluginChanges(options: PluginChangesOptions) {
  const { settings, host, declarations, log, catalog, isEnabled, runsByItself } = options;
  let applied = settings.config();

  /** A changed configuration restarts exactly the plugins that read what changed. */
  async function apply(): Promise<void> {
    const before = applied;
    applied = settings.config();
    const after = applied;
    for (const [id, item] of catalog().plugins) {
      if (catalog().conflicts.has(id)) continue;
      if (!isEnabled(item.manifest)) {
        await host.deactivate(id);
        await declarations.remove(id);
        continue;
      }
      declarations.add(item);
      const own = configPathOf(item.manifest);
      const touched = !isDeepStrictEqual(valueAt(before, own), valueAt(after, own));
      const wasUp = host.status(id).state !== "inactive";
      if (touched && wasUp) await host.deactivate(id);
      if (!runsByItself(item.manifest) && !(touched && wasUp)) continue;
      await host
        .activate(id)
        .catch((error: unknown) =>
          log.error({ err: error, plugin: id }, "plugin did not start after a configuration change"),
        );
    }
  }
  settings.onChange(apply);

  return {
    /** What is new becomes known, what is gone ends, what changed starts anew. */
    async rescan(): Promise<readonly string[]> {
      const before = catalog();
      await options.discover();
      const after = catalog();
      const ids = [...new Set([...before.plugins.keys(), ...after.plugins.keys()])].filter(
        (id) =>
          !isDeepStrictEqual(before.plugins.get(id), after.plugins.get(id)) ||
          before.conflicts.get(id) !== after.conflicts.get(id),
      );
      const broken: unknown[] = [];
      for (const id of ids) {
        // A version that does not come to life leaves the one before where it is, and the others alone.
        if (await options.swap(id).catch((error: unknown) => broken.push(error))) continue;
        await host.deactivate(id);
        await declarations.remove(id);
      }
      // Their settings were nobody's until now, or are nobody's any longer.
      await settings.takeOver(await settings.reload(), []);
      if (broken.length > 0) throw broken[0];
      return ids;
    },
  };
}
