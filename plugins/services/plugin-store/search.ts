import { RclawError } from "@rclaw/plugin-sdk";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import type { IndexedPlugin, PluginIndex } from "@rclaw/plugin-sdk/services/plugin-store";
import { editDistance } from "@rclaw/plugin-sdk/services/nearest";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { limits } from "./limits.ts";
import { indexSchema } from "./lock.schema.ts";
import { byText } from "./text.ts";

const schema = compile(indexSchema);

/** An index is data of a stranger: it is looked at as a whole before a row of it is shown. */
export function readIndex(text: string): PluginIndex {
  const refuse = (reason: string): never => {
    throw new RclawError(
      "INVALID_REQUEST",
      `this is no index of plugins: ${reason}. See: docs/plugin-index.md`,
    );
  };
  if (text.length > limits.indexBytes) refuse(`it is larger than ${limits.indexBytes} bytes`);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    // The parser's own words quote the text, which may be any file's.
    refuse("it is no JSON");
  }
  const issues = schema.issues(raw);
  if (issues.length > 0) refuse(describeIssues(issues));
  const index = raw as PluginIndex;
  const ids = new Set(index.plugins.map(({ id }) => id));
  if (ids.size < index.plugins.length) refuse("two of its plugins have the same id");
  return index;
}

/** Names that a manifest contributes, as `channel telegram`. */
function contributions(contributes: unknown): string[] {
  return Object.entries(isRecord(contributes) ? contributes : {}).flatMap(([kind, names]) => {
    const list: readonly unknown[] = Array.isArray(names) ? names : Object.keys(isRecord(names) ? names : {});
    return list.map(
      (name) => `${kind.replace(/s$/, "")} ${isRecord(name) ? String(name["name"]) : String(name)}`,
    );
  });
}

/** Made of the manifests themselves, so that it cannot differ from them. Parts of the gateway are not to be chosen. */
export function builtInIndex(found: readonly FoundManifest[], version: string): PluginIndex {
  const plugins = found
    .filter(({ builtIn, manifest }) => builtIn && !manifest.contributes.services)
    .map(({ manifest: { id, name, description, contributes, ...manifest } }) => ({
      id,
      name,
      description,
      // No kind that `stage` takes: there is nothing to fetch.
      source: `built-in:${id}`,
      version: manifest.version ?? version,
      keywords: Object.keys(contributes).map((kind) => kind.replace(/s$/, "")),
      contributes: contributions(contributes).slice(0, 64),
    }))
    .sort((a, b) => byText(a.id, b.id));
  return { indexVersion: 1, plugins };
}

const words = (text: string): string[] =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean)
    .slice(0, 64);

/** How well a word fits another: 1 for itself, less for a part of it or for a spelling of it, 0 for neither. */
function fit(wanted: string, word: string): number {
  if (wanted === word) return 1;
  if (word.startsWith(wanted)) return 0.8;
  if (wanted.length >= 3 && word.includes(wanted)) return 0.5;
  const forgiven = wanted.length >= 8 ? 2 : wanted.length >= 4 ? 1 : 0;
  return forgiven > 0 && editDistance(wanted, word, forgiven) <= forgiven ? 0.4 : 0;
}

const weights: readonly (readonly [number, (plugin: IndexedPlugin) => string])[] = [
  [8, ({ id }) => id],
  [6, ({ name }) => name],
  [4, ({ keywords }) => keywords.join(" ")],
  [4, ({ contributes }) => contributes.join(" ")],
  [1, ({ description }) => description],
];

function score(wanted: readonly string[], plugin: IndexedPlugin): number {
  const fields = weights.map(([weight, textOf]) => ({ weight, there: words(textOf(plugin)) }));
  const scores = wanted.map((word) =>
    fields.reduce(
      (sum, { weight, there }) => sum + weight * Math.max(0, ...there.map((item) => fit(word, item))),
      0,
    ),
  );
  // Each word narrows the search: one that fits nothing is no match.
  return scores.includes(0) ? 0 : scores.reduce((sum, value) => sum + value, 0);
}

/** The best first. A search for nothing lists everything. */
export function search(query: string, { plugins }: PluginIndex): readonly IndexedPlugin[] {
  const wanted = words(query).slice(0, 8);
  return plugins
    .map((plugin) => ({ plugin, score: wanted.length === 0 ? 1 : score(wanted, plugin) }))
    .filter((row) => row.score > 0)
    .sort((a, b) => b.score - a.score || byText(a.plugin.id, b.plugin.id))
    .map((row) => row.plugin);
}
