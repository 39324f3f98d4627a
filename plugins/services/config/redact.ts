import type {
  ConfigIssue,
  KeyPath,
  LoadedConfig,
  PluginConfigSchema,
} from "@rclaw/plugin-sdk/services/config";
import { RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import { printString } from "./print.ts";
import { isSecretName, redacted, type SecretTest, secretTest } from "./secrets.ts";
import { type Document, type Entry, type Node, scan } from "./syntax.ts";
import { dotted, isObject } from "./values.ts";

export interface RedactedConfig {
  readonly config: unknown;
  readonly parsed: unknown;
  readonly resolved: unknown;
  /** Null when the text cannot be read, because then nobody knows where its secrets are. */
  readonly raw: string | null;
}

/** A loaded configuration as clients may see it. */
export function redactConfig(
  {
    raw,
    parsed,
    resolved,
    config,
    fromEnv,
  }: Pick<LoadedConfig, "raw" | "parsed" | "resolved" | "config" | "fromEnv">,
  plugins: readonly PluginConfigSchema[],
): RedactedConfig {
  const isSecret = secretTest(plugins);
  const secretEnv = new Set(
    fromEnv.filter(({ names }) => names.some(isSecretName)).map(({ path }) => JSON.stringify(path)),
  );
  const filledIn: SecretTest = (path, value) =>
    isSecret(path, value) || (secretEnv.size > 0 && secretEnv.has(JSON.stringify(path)));
  return {
    config: redactValue(config, [], filledIn),
    parsed: redactValue(parsed, [], isSecret),
    resolved: redactValue(resolved, [], filledIn),
    raw: raw === null ? null : redactText(raw, isSecret),
  };
}

function redactValue(value: unknown, path: KeyPath, isSecret: SecretTest): unknown {
  if (typeof value === "string" || typeof value === "number") return isSecret(path, value) ? redacted : value;
  if (Array.isArray(value)) return value.map((item, index) => redactValue(item, [...path, index], isSecret));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, redactValue(item, [...path, key], isSecret)]),
  );
}

function redactText(text: string, isSecret: SecretTest): string | null {
  const document = scanned(text);
  if (!document) return null;
  const secrets: string[] = [];
  const edits: [number, number, string][] = [];
  for (const { path, node, source } of leaves(document, text)) {
    const value = json5.parse<unknown>(source);
    if ((typeof value !== "string" && typeof value !== "number") || !isSecret(path, value)) continue;
    secrets.push(String(value));
    edits.push([node.start, node.end, source.startsWith("'") ? `'${redacted}'` : `"${redacted}"`]);
  }
  for (const { start, end } of document.comments)
    edits.push([start, end, redactComment(text.slice(start, end), secrets)]);
  return replaceAll(text, edits);
}

function scanned(text: string): Document | undefined {
  try {
    json5.parse(text);
    return scan(text);
  } catch {
    return undefined;
  }
}

function* leaves(
  { root }: Document,
  text: string,
): Generator<{ path: KeyPath; node: Node; source: string; entry?: Entry }> {
  function* walk(
    node: Node,
    path: KeyPath,
    entry?: Entry,
  ): Generator<{ path: KeyPath; node: Node; source: string; entry?: Entry }> {
    if (node.kind === "string" || node.kind === "other") {
      yield { path, node, source: text.slice(node.start, node.end), ...(entry && { entry }) };
    }
    for (const child of node.entries) yield* walk(child.value, [...path, child.key], child);
  }
  yield* walk(root, []);
}

function replaceAll(text: string, edits: readonly (readonly [number, number, string])[]): string {
  let result = "";
  let at = 0;
  for (const [start, end, by] of [...edits].sort((a, b) => a[0] - b[0])) {
    result += text.slice(at, start) + by;
    at = end;
  }
  return result + text.slice(at);
}

const assignment =
  /(["']?)\b([A-Za-z_][\w.-]{0,63})\1(\s*[:=]\s*)("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,}\]"']+)/g;

/** People comment out a line and forget that it holds a key, or note the old one. */
function redactComment(comment: string, secrets: readonly string[]): string {
  const known = secrets
    .filter((secret) => secret.length >= 6)
    .reduce((text, secret) => text.replaceAll(secret, redacted), comment);
  return known.replaceAll(assignment, (whole, quote: string, name: string, sign: string, value: string) => {
    const isHarmless =
      !isSecretName(name) ||
      value.includes(redacted) ||
      /^["']?(?:\$\{[A-Z_][A-Z0-9_]*\}|secret:[\w.-]+)?["']?$/.test(value);
    return isHarmless ? whole : `${quote}${name}${quote}${sign}"${redacted}"`;
  });
}

export interface CurrentText {
  readonly raw: string | null;
  readonly parsed: unknown;
  /** With the environment filled in, as clients were shown it. */
  readonly resolved?: unknown;
}

/**
 * A client's text with its sentinels turned back into what is there now. A sentinel
 * where nothing is, or inside a longer text, is refused rather than stored.
 */
export function restoreRedacted(
  text: string,
  current: CurrentText,
  plugins: readonly PluginConfigSchema[],
): string {
  if (!text.includes(redacted)) return text;
  const parsed = json5.parse<unknown>(text);
  const document = scan(text);
  const issues: ConfigIssue[] = [];
  const edits: [number, number, string][] = [];
  for (const { path, node, source, entry } of leaves(document, text)) {
    if (typeof entry?.key === "string" && entry.key.includes(redacted)) issues.push(damaged(path));
    const value = source.includes(redacted) ? json5.parse<unknown>(source) : undefined;
    if (typeof value !== "string") continue;
    const found = value === redacted ? counterpart(parsed, current.parsed, path) : undefined;
    if (value !== redacted) issues.push(damaged(path));
    else if (typeof found === "string")
      edits.push([node.start, node.end, printString(found, source.startsWith("'") ? "'" : '"')]);
    else if (typeof found === "number") edits.push([node.start, node.end, String(found)]);
    else issues.push(nothingThere(path));
  }
  refuseIf(issues);
  const comments = commentsOf(current.raw, plugins);
  for (const { start, end } of document.comments) {
    const original = comments.get(text.slice(start, end));
    if (original !== undefined) edits.push([start, end, original]);
  }
  return replaceAll(text, edits);
}

/**
 * A client that works on values sends back what stood in the environment. Where it is unchanged the file keeps
 * its reference, so that nothing of the environment is written down.
 */
export function restoreReferences(text: string, { raw, parsed: current, resolved }: CurrentText): string {
  if (!raw?.includes("${") || resolved === undefined) return text;
  const parsed = json5.parse<unknown>(text);
  const edits: [number, number, string][] = [];
  for (const { path, node, source } of leaves(scan(text), text)) {
    if (node.kind !== "string") continue;
    const reference = counterpart(parsed, current, path);
    if (typeof reference !== "string" || !reference.includes("${")) continue;
    const shown = counterpart(parsed, resolved, path);
    if (shown === reference || json5.parse<unknown>(source) !== shown) continue;
    edits.push([node.start, node.end, printString(reference, source.startsWith("'") ? "'" : '"')]);
  }
  return replaceAll(text, edits);
}

/** The same for a value that is not text yet, such as a merge patch. */
export function restoreInValue(value: unknown, current: unknown): unknown {
  const issues: ConfigIssue[] = [];
  const walk = (item: unknown, path: KeyPath): unknown => {
    if (Array.isArray(item)) return item.map((element, index) => walk(element, [...path, index]));
    if (isObject(item))
      return Object.fromEntries(
        Object.entries(item).map(([key, child]) => [key, walk(child, [...path, key])]),
      );
    if (typeof item !== "string" || !item.includes(redacted)) return item;
    const found = item === redacted ? counterpart(value, current, path) : undefined;
    if (item !== redacted) issues.push(damaged(path));
    else if (typeof found !== "string" && typeof found !== "number") issues.push(nothingThere(path));
    return found;
  };
  const restored = walk(value, []);
  refuseIf(issues);
  return restored;
}

function damaged(path: KeyPath): ConfigIssue {
  return {
    path: dotted(path),
    message: `holds ${redacted} inside other text; write the whole value, or only ${redacted} to keep what is there`,
  };
}

function nothingThere(path: KeyPath): ConfigIssue {
  return {
    path: dotted(path),
    message: `is ${redacted}, but there is no value in this file that it could stand for; write the value`,
  };
}

function refuseIf(issues: readonly ConfigIssue[]): void {
  if (issues.length > 0) throw new RclawError("INVALID_REQUEST", "invalid config", { details: { issues } });
}

function commentsOf(raw: string | null, plugins: readonly PluginConfigSchema[]): Map<string, string> {
  const document = raw === null ? undefined : scanned(raw);
  if (raw === null || !document) return new Map();
  const isSecret = secretTest(plugins);
  const secrets = [...leaves(document, raw)].flatMap(({ path, source }) => {
    const value = json5.parse<unknown>(source);
    return (typeof value === "string" || typeof value === "number") && isSecret(path, value)
      ? [String(value)]
      : [];
  });
  return new Map(
    document.comments.map(({ start, end }) => {
      const comment = raw.slice(start, end);
      return [redactComment(comment, secrets), comment] as const;
    }),
  );
}

/**
 * What stands in `current` where `path` leads in `given`. Elements of lists are
 * matched by their id, because somebody may have removed or moved one: a token
 * must not end up with another account.
 */
function counterpart(given: unknown, current: unknown, path: KeyPath): unknown {
  let [theirs, ours] = [given, current];
  for (const key of path) {
    if (Array.isArray(theirs)) {
      const element: unknown = theirs[Number(key)];
      ours = Array.isArray(ours) ? sameElement(theirs, ours, Number(key)) : undefined;
      theirs = element;
      continue;
    }
    if (!isObject(theirs) || !isObject(ours) || !Object.hasOwn(ours, key)) return undefined;
    [theirs, ours] = [theirs[key], ours[key]];
  }
  return ours;
}

function sameElement(theirs: readonly unknown[], ours: readonly unknown[], index: number): unknown {
  const element = theirs[index];
  for (const name of ["id", "name"]) {
    if (!isObject(element) || typeof element[name] !== "string") continue;
    const matches = ours.filter((item) => isObject(item) && item[name] === element[name]);
    return matches.length === 1 ? matches[0] : undefined;
  }
  return theirs.length === ours.length ? ours[index] : undefined;
}
