import { readFile, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import type { Storage } from "@rclaw/plugin-sdk/services/storage";

export const maxBytes = 1_048_576;

/**
 * A plugin's small durable state: one JSON file in its own folder, replaced as a
 * whole. Writes that come while one is under way share the next one.
 */
export function createStorage(stateDir: string): Storage {
  const stores = new Map<string, PluginContext["storage"]>();
  const folderOf = (plugin: string): string => path.join(stateDir, "plugins", plugin);

  function open(plugin: string): PluginContext["storage"] {
    const file = path.join(folderOf(plugin), "storage.json");
    let values: Promise<Map<string, unknown>> | undefined;
    let dirty: Promise<void> | undefined;
    let writing: Promise<void> = Promise.resolve();

    const load = (): Promise<Map<string, unknown>> => (values ??= readValues(file, plugin));
    const write = async (): Promise<void> => {
      dirty = undefined;
      await writeAtomic(file, JSON.stringify(Object.fromEntries(await load())));
    };
    return {
      get: async (key) => structuredClone((await load()).get(key)),
      async set(key, value) {
        const map = await load();
        const text = JSON.stringify({ ...Object.fromEntries(map), [key]: value });
        if (text.length > maxBytes) {
          throw new RclawError(
            "TOO_LARGE",
            `plugin "${plugin}" keeps more than ${maxBytes} bytes in its storage`,
            { details: { plugin } },
          );
        }
        if (value === undefined) map.delete(key);
        else map.set(key, structuredClone(value));
        if (!dirty) {
          dirty = writing.then(write);
          writing = dirty.catch(() => undefined);
        }
        await dirty;
      },
      where: async () => file,
    };
  }

  return {
    for(plugin: string): PluginContext["storage"] {
      let store = stores.get(plugin);
      if (!store) stores.set(plugin, (store = open(plugin)));
      return store;
    },
    async remove(plugin: string): Promise<void> {
      stores.delete(plugin);
      await rm(path.join(folderOf(plugin), "storage.json"), { force: true });
      // A plugin that was put there by hand has more in it, and stays.
      await rmdir(folderOf(plugin)).catch(() => undefined);
    },
  };
}

async function readValues(file: string, plugin: string): Promise<Map<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, unknown>));
  } catch (error) {
    throw new RclawError(
      "STORE_DEGRADED",
      `the storage of plugin "${plugin}" is damaged: ${file}; restore it from a backup or remove it`,
      { cause: error },
    );
  }
}
