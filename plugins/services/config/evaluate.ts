import type { Config, ConfigIssue, KeyPath, PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import path from "node:path";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import { substituteEnv } from "./env.ts";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { type Finding, readSources } from "./sources.ts";
import { ownerOf, findingsOf, isUsed } from "./validate.ts";
import { dotted, isObject } from "./values.ts";

/** A configuration text, read and judged. */
export interface Evaluation {
  readonly parsed: unknown;
  /** With what it includes; references to the environment as written. */
  readonly merged: unknown;
  /** Environment filled in. */
  readonly resolved: unknown;
  /** Defaults filled in; parts with an issue are left out. */
  readonly config: Config;
  readonly issues: readonly ConfigIssue[];
  readonly warnings: readonly ConfigIssue[];
  /** The issues concern the text as a whole, so nothing of it can be used. */
  readonly isBroken: boolean;
  /** What `config` lacks because of issues. */
  readonly dropped: readonly string[];
  readonly files: readonly string[];
  /** Places whose value came from the environment. */
  readonly fromEnv: readonly { readonly path: KeyPath; readonly names: readonly string[] }[];
}

export interface EvaluateOptions {
  readonly raw: string;
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly plugins: readonly PluginConfigSchema[];
}

/** Reads a configuration text with all it refers to and says what is wrong. Touches no file but to read it. */
export async function evaluate({ raw, file, env, plugins }: EvaluateOptions): Promise<Evaluation> {
  const includeRoots = (env["RUSTY_CLAW_INCLUDE_ROOTS"] ?? "")
    .split(path.delimiter)
    .filter((root) => path.isAbsolute(root));
  const { parsed, merged, findings, files } = await readSources(raw, { file, includeRoots });
  const { value: resolved, used, missing } = substituteEnv(merged, env);
  const isUnread = findings.some((finding) => finding.path.length === 0);
  const all = [
    ...findings,
    ...missing.map(({ path: at, names }) => ({
      path: at,
      message: `environment variable ${names.join(", ")} is not set`,
      isWarning: !isUsed(resolved, at, plugins),
    })),
    ...(isUnread ? [] : findingsOf(resolved, { plugins, env })),
  ];
  const wrong = all.filter(({ isWarning }) => !isWarning);
  const isBroken = wrong.some(({ path: at }) => at.length === 0 || at[0] === "$include");
  const drops = isBroken ? [] : wrong.flatMap((finding) => dropPaths(finding.path, plugins));
  const rest = isBroken ? {} : without(resolved, drops);
  const isSound =
    drops.length === 0 || !findingsOf(rest, { plugins, env }).some(({ isWarning }) => !isWarning);
  return {
    parsed,
    merged,
    resolved,
    config: asConfig(isSound ? rest : {}),
    issues: asIssues(wrong),
    warnings: asIssues(all.filter(({ isWarning }) => isWarning)),
    isBroken,
    dropped: isSound ? [...new Set(drops.map(dotted))] : [""],
    files,
    fromEnv: used,
  };
}

/** The configuration of somebody who has configured nothing. */
export function defaultConfig(): Config {
  return asConfig({});
}

function asConfig(value: unknown): Config {
  return withDefaults(configSchema as never, value) as Config;
}

function asIssues(findings: readonly Finding[]): ConfigIssue[] {
  const unique = new Map(
    findings.map(({ path: at, message }) => [`${dotted(at)}\0${message}`, { path: dotted(at), message }]),
  );
  return [...unique.values()];
}

/**
 * How much goes when a value is wrong: a plugin's own part, one section of the
 * gateway's or the plugins' settings (their neighbours hold the token and the
 * switches), else the whole top-level section.
 */
function dropPaths(at: KeyPath, plugins: readonly PluginConfigSchema[]): KeyPath[] {
  const owner = ownerOf(plugins, at);
  if (owner) {
    const own = owner.path.split(".");
    // Between other plugins' parts only the entry that is wrong goes.
    const isAround = plugins.some(({ path }) => path.startsWith(`${owner.path}.`));
    return [isAround ? at.slice(0, own.length + 1) : own];
  }
  const depth =
    at[0] === "plugins" && at[1] === "entries" ? 3 : at[0] === "gateway" || at[0] === "plugins" ? 2 : 1;
  const drop = at.slice(0, depth);
  // Without TLS the token would cross the network in the clear: stay on this machine.
  return dotted(drop) === "gateway.tls" ? [drop, ["gateway", "bind"]] : [drop];
}

function without(root: unknown, drops: readonly KeyPath[]): unknown {
  let result = root;
  for (const drop of drops) {
    // Fewer tools rather than all of them: what was ignored may have been a refusal.
    result = withValue(
      result,
      drop,
      drop[0] === "tools" && drop.length === 1 ? { profile: "minimal" } : undefined,
    );
  }
  return result;
}

function withValue(root: unknown, [key, ...rest]: KeyPath, value: unknown): unknown {
  if (key === undefined) return value;
  if (Array.isArray(root))
    return root.map((item, index) =>
      String(index) === String(key) ? withValue(item, rest, value) : (item as unknown),
    );
  if (!isObject(root)) return root;
  const next = withValue(root[key], rest, value);
  const { [key]: _old, ...others } = root;
  return next === undefined ? others : { ...others, [key]: next };
}
