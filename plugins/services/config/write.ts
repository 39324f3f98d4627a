import type { LoadOptions, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { readFile, realpath, rename } from "node:fs/promises";
import { RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import { evaluate } from "./evaluate.ts";
import { loadConfig } from "./load.ts";

const backups = 5;

/**
 * Replaces the configuration file, if the text is valid: otherwise INVALID_REQUEST with
 * the issues, and nothing is touched. The five texts before it stay as `.bak`, `.bak.1`, ...
 */
export async function writeConfig({
  raw,
  ...options
}: LoadOptions & { readonly raw: string }): Promise<LoadedConfig> {
  const { paths, env, plugins } = options;
  const { issues } = await evaluate({ raw, file: paths.configFile, env, plugins });
  if (issues.length > 0) throw new RclawError("INVALID_REQUEST", "invalid config", { details: { issues } });
  // A configuration that is kept elsewhere and linked here stays a link.
  const file = await realpath(paths.configFile).catch(() => paths.configFile);
  const before = await readFile(file).catch(() => undefined);
  if (before === undefined || !before.equals(Buffer.from(raw))) {
    if (before) await keepBackup(file, before);
    await storeAtomic(file, raw);
  }
  return loadConfig(options);
}

async function keepBackup(file: string, data: Buffer): Promise<void> {
  const name = (index: number): string => (index === 0 ? `${file}.bak` : `${file}.bak.${index}`);
  for (let index = backups - 1; index > 0; index--) {
    // A gap in the row is no reason not to write.
    await rename(name(index - 1), name(index)).catch(() => undefined);
  }
  await storeAtomic(name(0), data);
}
