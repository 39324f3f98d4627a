import { stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { type Plugin, RclawError } from "@rclaw/plugin-sdk";

/**
 * Loads a plugin into this process. The built chunks are CommonJS, because an ESM
 * import of node:http alone costs 12 MB on Node 24; a third party may ship ESM.
 */
export async function loadInProcess(id: string, entry: string): Promise<Plugin> {
  const plugin = await loadModule(entry);
  if (typeof (plugin as Partial<Plugin> | undefined)?.activate === "function") return plugin as Plugin;
  throw new RclawError(
    "PLUGIN_FAILED",
    `plugin "${id}": ${entry} has no default export made by definePlugin()`,
  );
}

/** The default export of an entry file. */
export async function loadModule(entry: string): Promise<unknown> {
  const loaded: unknown = entry.endsWith(".cjs")
    ? nodeRequire(entry)
    : await (entry.endsWith(".ts") ? import(entry) : importAnew(entry));
  return defaultExport(defaultExport(loaded));
}

function nodeRequire(file: string): unknown {
  return forget(file)(file);
}

/** Node keeps an ES module for good, under its address; a changed file gets another one. */
async function importAnew(file: string): Promise<unknown> {
  const { mtimeMs } = await stat(file);
  forget(file);
  return import(`${pathToFileURL(file).href}?changed=${mtimeMs}`);
}

/** A reload must see the file as it is now. */
function forget(file: string): NodeJS.Require {
  const load = process.getBuiltinModule("node:module").createRequire(file);
  delete load.cache[load.resolve(file)];
  return load;
}

/** CommonJS made from ESM wraps the default export once more when it is imported. */
function defaultExport(module: unknown): unknown {
  return typeof module === "object" && module !== null && "default" in module ? module.default : module;
}
