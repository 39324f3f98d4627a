import type { KeyPath } from "@rclaw/plugin-sdk/services/config";
import { realpath } from "node:fs/promises";
import path from "node:path";
import json5 from "json5";
import { makePrivate, maxBytes, readPlain, reasonOf } from "./files.ts";
import { maxDepth } from "./syntax.ts";
import { forbiddenKeys, isObject } from "./values.ts";

/** Something to say about one place of the configuration. */
export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
  readonly isWarning?: boolean;
}

export interface Sources {
  /** The file alone, without keys that are never allowed. */
  readonly parsed: unknown;
  /** With what it includes; environment variables not yet filled in. */
  readonly merged: unknown;
  readonly findings: readonly Finding[];
  /** Every file that was read or asked for, under its own and its real name. */
  readonly files: readonly string[];
}

export interface SourceOptions {
  /** The configuration file; includes are confined to its folder. */
  readonly file: string;
  /** More folders that may be included from. */
  readonly includeRoots: readonly string[];
}

const maxIncludeDepth = 10;
const maxIncludes = 100;

/** Reads the text of a configuration and everything it includes. Never throws: what is wrong becomes a finding. */
export async function readSources(raw: string, { file, includeRoots }: SourceOptions): Promise<Sources> {
  const findings: Finding[] = [];
  const files = new Set([file]);
  let bytesLeft = maxBytes - Buffer.byteLength(raw);
  let includesLeft = maxIncludes;
  let parsed: unknown = {};
  if (bytesLeft < 0) {
    findings.push({ path: [], message: `the configuration is larger than ${maxBytes} bytes` });
    return { parsed, merged: {}, findings, files: [...files] };
  }
  try {
    parsed = clean(json5.parse<unknown>(raw), [], findings);
  } catch (error) {
    findings.push({ path: [], message: String(error) });
    return { parsed, merged: {}, findings, files: [...files] };
  }
  const roots = await Promise.all(
    [path.dirname(file), ...includeRoots].map(async (folder) => [path.resolve(folder), await real(folder)]),
  );

  const home = roots[0]?.[1] ?? "";

  async function load(
    target: string,
    from: string,
    place: KeyPath,
    chain: readonly string[],
  ): Promise<unknown> {
    const refuse = (reason: string): undefined => {
      findings.push({
        path: [...place, "$include"],
        message: `cannot include ${JSON.stringify(target)}: ${reason}`,
      });
      return undefined;
    };
    if (target.includes("\0")) return refuse("its name holds a NUL character");
    if (chain.length > maxIncludeDepth) return refuse(`includes are nested deeper than ${maxIncludeDepth}`);
    // Once is enough: a list of a thousand files needs no thousand complaints.
    if (--includesLeft < 0)
      return includesLeft < -1 ? undefined : refuse(`more than ${maxIncludes} files are included`);
    const named = path.resolve(path.dirname(from), target);
    files.add(named);
    const isInside = (name: string): boolean =>
      roots.flat().some((root) => name.startsWith(root.endsWith(path.sep) ? root : root + path.sep));
    // Checked before anything is looked up, so that a refusal does not tell which files exist.
    if (!isInside(named))
      return refuse(
        "it is outside the configuration's folder; allow its folder with RUSTY_CLAW_INCLUDE_ROOTS",
      );
    try {
      const resolved = await realpath(named);
      files.add(resolved);
      if (!roots.some(([, root]) => root && resolved.startsWith(root + path.sep))) {
        return refuse("it is a link that leads out of the configuration's folder");
      }
      if (chain.includes(resolved)) return refuse("it includes itself");
      const { data, stats } = await readPlain(resolved, Math.max(0, bytesLeft), { followLinks: false });
      if (stats.nlink > 1)
        return refuse("it has a second name (hard link) that may be anywhere; copy it instead");
      bytesLeft -= data.length;
      const exposed = resolved.startsWith(home + path.sep) ? await makePrivate(resolved, stats) : undefined;
      if (exposed) findings.push({ path: place, message: exposed, isWarning: true });
      return await include(
        clean(json5.parse<unknown>(data.toString("utf8")), place, findings),
        resolved,
        place,
        [...chain, resolved],
      );
    } catch (error) {
      return refuse(reasonOf(error));
    }
  }

  async function include(
    value: unknown,
    from: string,
    place: KeyPath,
    chain: readonly string[],
  ): Promise<unknown> {
    if (Array.isArray(value)) {
      const items: unknown[] = [];
      for (const [index, item] of value.entries())
        items.push(await include(item, from, [...place, index], chain));
      return items;
    }
    if (!isObject(value)) return value;
    const { $include: targets, ...siblings } = value;
    const own: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(siblings))
      own[key] = await include(item, from, [...place, key], chain);
    if (!Object.hasOwn(value, "$include")) return own;
    const names = [targets].flat();
    if (!names.every((name) => typeof name === "string")) {
      findings.push({
        path: [...place, "$include"],
        message: "must be the name of a file or a list of them",
      });
      return own;
    }
    let result: unknown;
    for (const name of names) result = merge(result, await load(name, from, place, chain));
    const hasOwn = Object.keys(own).length > 0;
    if (hasOwn && result !== undefined && !isObject(result)) {
      findings.push({
        path: [...place, "$include"],
        message: "other keys stand beside it, so the file must hold an object",
      });
    }
    return hasOwn || result === undefined ? merge(result, own) : result;
  }

  const realFile = await real(file);
  files.add(realFile);
  const merged = await include(parsed, file, [], [realFile]);
  return { parsed, merged, findings, files: [...files] };
}

async function real(file: string): Promise<string> {
  return realpath(file).catch(() => path.resolve(file));
}

/** Objects are merged, anything else is replaced: a later list does not silently widen an earlier one. */
function merge(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isObject(below) || !isObject(above)) return above;
  const result = { ...below };
  for (const [key, value] of Object.entries(above))
    result[key] = merge(Object.hasOwn(result, key) ? result[key] : undefined, value);
  return result;
}

/** A copy without the keys that reach prototypes, and without what is nested too deeply to walk safely. */
function clean(value: unknown, place: KeyPath, findings: Finding[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (place.length >= maxDepth) {
    findings.push({ path: place.slice(0, 1), message: `is nested deeper than ${maxDepth} levels` });
    return undefined;
  }
  if (Array.isArray(value)) return value.map((item, index) => clean(item, [...place, index], findings));
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (forbiddenKeys.has(key))
      findings.push({ path: [...place, key], message: `the key "${key}" is not allowed` });
    else result[key] = clean(item, [...place, key], findings);
  }
  return result;
}
