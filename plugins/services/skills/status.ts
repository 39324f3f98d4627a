import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { installOptions } from "./install.ts";
import type { Requirements, Skill } from "./skill.ts";

export interface Surroundings {
  readonly config: unknown;
  hasBin(name: string): boolean;
  hasEnv(name: string): boolean;
}

interface SkillStatus {
  readonly name: string;
  readonly eligible: boolean;
  readonly [field: string]: unknown;
}

/** One line of `skills.status`. */
export function statusOf(skill: Skill, around: Surroundings): SkillStatus {
  const { name, description, source, file, folder, key, metadata } = skill;
  const { always, emoji, homepage, primaryEnv, requires } = metadata;
  const entry = entryOf(around.config, key);
  const disabled = valueAt(entry, "enabled") === false;
  const configChecks = requires.config.map((place) => ({
    path: place,
    satisfied: isSet(valueAt(around.config, place)),
  }));
  const missing = always ? nothing : missingOf(skill, entry, around);
  const isComplete = Object.values(missing).every((list: readonly string[]) => list.length === 0);
  return {
    name,
    description,
    source,
    bundled: false,
    filePath: file,
    baseDir: folder,
    skillKey: key,
    ...(primaryEnv !== undefined && { primaryEnv }),
    ...(emoji !== undefined && { emoji }),
    ...(homepage !== undefined && { homepage }),
    always,
    disabled,
    blockedByAllowlist: false,
    eligible: !disabled && isComplete,
    requirements: requires,
    missing,
    configChecks,
    install: installOptions(metadata, around),
  };
}

/** What protocol 4 adds: who may use the skill. */
export function audienceOf(skill: Skill, { eligible, missing }: SkillStatus): object {
  return {
    blockedByAgentFilter: false,
    platformIncompatible: (missing as Requirements).os.length > 0,
    modelVisible: eligible && skill.isForModels,
    userInvocable: skill.isForPeople,
    commandVisible: false,
  };
}

export function entryOf(config: unknown, key: string): unknown {
  const entries = valueAt(config, "skills.entries");
  return typeof entries === "object" && entries !== null && Object.hasOwn(entries, key)
    ? (entries as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

/** Whether a program can be started by its name. Looked up once a name, for as long as the answer is made. */
export function binFinder(pathEnv: string): (name: string) => boolean {
  const folders = pathEnv.split(path.delimiter).filter((folder) => path.isAbsolute(folder));
  const known = new Map<string, boolean>();
  return (name) => {
    let found = known.get(name);
    if (found === undefined) {
      // A name with a slash would be looked for elsewhere.
      found = !/[/\\]/.test(name) && folders.some((folder) => isProgram(path.join(folder, name)));
      known.set(name, found);
    }
    return found;
  };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

const nothing: Requirements = { bins: [], anyBins: [], env: [], config: [], os: [] };

function missingOf({ metadata }: Skill, entry: unknown, around: Surroundings): Requirements {
  const { requires, primaryEnv } = metadata;
  const { bins, anyBins, env, config, os } = requires;
  const own = valueAt(entry, "env");
  const hasEnv = (name: string): boolean =>
    around.hasEnv(name) ||
    isSet((own as Readonly<Record<string, unknown>> | undefined)?.[name]) ||
    (name === primaryEnv && isSet(valueAt(entry, "apiKey")));
  return {
    bins: bins.filter((name) => !around.hasBin(name)),
    anyBins: anyBins.some((name) => around.hasBin(name)) ? [] : anyBins,
    env: env.filter((name) => !hasEnv(name)),
    config: config.filter((place) => !isSet(valueAt(around.config, place))),
    os: os.length === 0 || os.includes(process.platform) ? [] : os,
  };
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0) return false;
  return typeof value !== "string" || value.trim() !== "";
}
