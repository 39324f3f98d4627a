import type { ConfigIssue, ConfigPaths, LoadOptions, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { createHash, randomBytes } from "node:crypto";
import { link, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import json5 from "json5";
import { syncFolder, writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { defaultConfig, evaluate, type Evaluation } from "./evaluate.ts";
import { isMissing, makePrivate, makeUnwritable, maxBytes, readPlain, reasonOf } from "./files.ts";

function lastGoodFile({ stateDir }: ConfigPaths): string {
  return path.join(stateDir, "config.last-good.json");
}

/**
 * Loads the configuration and always comes back with one to run on: the file's, else
 * the last one that was valid, else what of the file is valid, else the defaults.
 * `issues` says what is wrong. The first start creates the file with a token of its own.
 */
export async function loadConfig({ paths, env, plugins }: LoadOptions): Promise<LoadedConfig> {
  const warnings: ConfigIssue[] = [];
  const warn = (message: string | undefined): void => void (message && warnings.push({ path: "", message }));
  const lastGood = await readFile(lastGoodFile(paths), "utf8").catch(() => undefined);
  let file = await readConfigFile(paths.configFile);
  if (lastGood === undefined && (!file.exists || file.raw?.trim() === "")) {
    if (file.exists) warn(`${paths.configFile} was empty; it was filled with a new token`);
    file = await createConfigFile(paths, file);
  }
  warn(file.warning);
  warn(await makeUnwritable(paths.stateDir).catch(() => undefined));

  const judge = (raw: string): Promise<Evaluation> => evaluate({ raw, file: paths.configFile, env, plugins });
  const now = file.raw === null ? undefined : await judge(file.raw);
  if (now?.issues.length === 0) {
    warn(await keepLastGood(paths, now.merged, lastGood));
    return loaded(paths, file, now, now, "file", now.issues, [...warnings, ...now.warnings]);
  }
  const issues = now?.issues ?? [{ path: "", message: file.problem ?? "cannot be read" }];
  const before = lastGood === undefined ? undefined : await judge(lastGood);
  const allWarnings = [...warnings, ...(now?.warnings ?? [])];
  if (before?.issues.length === 0)
    return loaded(paths, file, now, before, "last-known-good", issues, allWarnings);
  if (now && !now.isBroken) return loaded(paths, file, now, now, "file", ignoring(issues, now), allWarnings);
  if (before && !before.isBroken)
    return loaded(paths, file, now, before, "last-known-good", ignoring(issues, before), allWarnings);
  return loaded(paths, file, now, undefined, "defaults", issues, allWarnings);
}

function loaded(
  { configFile }: ConfigPaths,
  { exists, raw, hash }: ConfigFile,
  now: Evaluation | undefined,
  effective: Evaluation | undefined,
  source: LoadedConfig["source"],
  issues: readonly ConfigIssue[],
  warnings: readonly ConfigIssue[],
): LoadedConfig {
  return {
    path: configFile,
    exists,
    raw,
    hash,
    parsed: now?.parsed ?? {},
    resolved: now?.resolved ?? {},
    unresolved: effective?.merged ?? {},
    config: effective?.config ?? defaultConfig(),
    source,
    issues,
    warnings,
    files: [...new Set([configFile, ...(now?.files ?? [])])],
    fromEnv: [...new Set([...(now?.fromEnv ?? []), ...(effective?.fromEnv ?? [])])],
  };
}

/** There is nothing better to fall back on, so the wrong parts are left out: say which. */
function ignoring(issues: readonly ConfigIssue[], { dropped }: Evaluation): ConfigIssue[] {
  const parts = dropped.map((part) => part || "the whole file");
  const minimal = dropped.includes("tools") ? ', with tools.profile "minimal" meanwhile' : "";
  const note = { path: "", message: `ignored until corrected: ${parts.join(", ")}${minimal}` };
  return parts.length === 0 ? [...issues] : [...issues, note];
}

interface ConfigFile {
  readonly exists: boolean;
  readonly raw: string | null;
  readonly hash: string | null;
  readonly problem?: string;
  readonly warning?: string;
}

export function hashOf(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** The file as it is on disk, closed to other users of the machine on the way. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  try {
    const { data, stats } = await readPlain(file, maxBytes, { followLinks: true });
    const warning = await makePrivate(file, stats);
    return { exists: true, raw: data.toString("utf8"), hash: hashOf(data), ...(warning && { warning }) };
  } catch (error) {
    return {
      exists: !isMissing(error),
      raw: null,
      hash: null,
      problem: `${file} cannot be used: ${reasonOf(error)}`,
    };
  }
}

/** Kept with references to the environment, never with what they stand for, and without includes, which may break later. */
async function keepLastGood(
  paths: ConfigPaths,
  merged: unknown,
  current: string | undefined,
): Promise<string | undefined> {
  const text = `${json5.stringify(merged, { space: 2, quote: '"' })}\n`;
  if (text === current) return undefined;
  try {
    await writeAtomic(lastGoodFile(paths), text);
    return undefined;
  } catch (error) {
    return `a copy of this valid configuration could not be kept in ${lastGoodFile(paths)}: ${reasonOf(error)}`;
  }
}

async function createConfigFile({ configFile }: ConfigPaths, before: ConfigFile): Promise<ConfigFile> {
  try {
    const text = firstConfig(randomBytes(32).toString("base64url"));
    if (before.exists) await writeAtomic(configFile, text);
    else await writeNew(configFile, text);
  } catch (error) {
    return {
      exists: false,
      raw: null,
      hash: null,
      problem: `${configFile} could not be created: ${reasonOf(error)}`,
    };
  }
  return readConfigFile(configFile);
}

/** Two programs may start for the first time together: the second one takes the first one's file, and never half of it. */
async function writeNew(file: string, text: string): Promise<void> {
  const temp = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  await writeAtomic(temp, text);
  try {
    await link(temp, file);
  } catch (error) {
    if ((error as { code?: unknown }).code === "EEXIST") return;
    // Not every file system has hard links.
    await rename(temp, file);
  } finally {
    await rm(temp, { force: true });
  }
  await syncFolder(path.dirname(file));
}

function firstConfig(token: string): string {
  return `// The configuration of rclaw, in JSON5: comments and trailing commas are welcome.
// A change takes effect when the file is saved; a mistake is reported and leaves
// the running configuration as it is.
{
  gateway: {
    port: 18789,
    // Who can reach the gateway: "loopback" is this machine only, "lan" the local network.
    bind: "loopback",
    auth: {
      mode: "token",
      // Whoever has this token controls the assistant. Keep it to yourself.
      token: "${token}",
    },
  },
  session: {
    // Every person on every channel has a conversation of their own.
    // With "main" all direct messages would share one.
    dmScope: "per-channel-peer",
  },
}
`;
}
