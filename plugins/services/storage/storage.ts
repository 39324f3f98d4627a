import { readFile, rm, rmdir } from "node:fs/promises";
import path from "node:path";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { Storage } from "@rclaw/plugin-sdk/services/storage";

type Values = Map<string, unknown>;

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
    let values: Promise<Values> | undefined;
    /** What the disk holds. */
    let stored: Values = new Map();
    let dirty: Promise<void> | undefined;
    let writing: Promise<void> = Promise.resolve();

    const load = (): Promise<Values> => {
      values ??= readValues(file, plugin).then((found) => {
        stored = new Map(found);
        return found;
      });
      // A file that could not be read is tried again: somebody may have mended it.
      values.catch(() => (values = undefined));
      return values;
    };
    const write = async (): Promise<void> => {
      dirty = undefined;
      const map = await load();
      const wanted = new Map(map);
      try {
        await storeAtomic(file, JSON.stringify(Object.fromEntries(wanted)));
        stored = wanted;
      } catch (error) {
        undo(map, wanted, stored);
        throw error;
      }
    };
    return {
      get: async (key) => structuredClone((await load()).get(key)),
      async set(key, value) {
        const map = await load();
        const text = JSON.stringify({ ...Object.fromEntries(map), [key]: value });
        if (Buffer.byteLength(text) > maxBytes) {
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

/** What could not be stored did not happen, unless somebody has set it anew since. */
function undo(map: Values, wanted: Values, stored: Values): void {
  for (const key of new Set([...wanted.keys(), ...stored.keys()])) {
    if (map.get(key) !== wanted.get(key) || map.has(key) !== wanted.has(key)) continue;
    if (stored.has(key)) map.set(key, stored.get(key));
    else map.delete(key);
  }
}

async function readValues(file: string, plugin: string): Promise<Values> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  const damaged = (cause?: unknown): RclawError =>
    new RclawError(
      "STORE_DEGRADED",
      `the storage of plugin "${plugin}" is damaged: ${file}; restore it from a backup or remove it`,
      { cause },
    );
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw damaged(error);
  }
  // Anything else would be taken for nothing, and the next write would replace it.
  if (!isRecord(values)) throw damaged();
  return new Map(Object.entries(values));
}
