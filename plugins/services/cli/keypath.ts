import { UsageError } from "./parse.ts";
import { isFields } from "./shape.ts";

export type Key = string | number;

const step = /([^.[\]"]+)|\[(\d{1,6})\]|\["((?:[^"\\]|\\.)*)"\]/y;

/** `a.b[0]["c.d"]` as its keys. A number between dots is a list's index only where there is a list. */
export function parsePath(path: string): readonly Key[] {
  const keys: Key[] = [];
  for (let at = 0; at < path.length;) {
    if (keys.length > 0 && path[at] === ".") at += 1;
    step.lastIndex = at;
    const match = step.exec(path);
    if (!match)
      throw new UsageError(`"${path}" is no path; write it as gateway.port or channels["my.channel"]`);
    const [whole, plain, index, quoted] = match;
    if (index !== undefined) keys.push(Number(index));
    else keys.push(plain ?? (quoted ?? "").replaceAll(/\\(.)/g, "$1"));
    at += whole.length;
  }
  if (keys.length === 0) throw new UsageError("the path is empty; write it as gateway.port");
  return keys;
}

export function child(value: unknown, key: Key): unknown {
  if (Array.isArray(value)) return /^\d+$/.test(String(key)) ? value[Number(key)] : undefined;
  return isFields(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

export const valueAt = (value: unknown, keys: readonly Key[]): unknown => keys.reduce(child, value);

/**
 * The merge patch that sets one value. A merge patch cannot reach into a list, so
 * from a list on it carries the whole list, changed; `undefined` removes.
 */
export function patchFor(current: unknown, keys: readonly Key[], value: unknown): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return value === undefined ? null : value;
  const inner = patchFor(child(current, key), rest, value);
  if (!Array.isArray(current)) return { [key]: inner };
  const index = Number(key);
  if (!Number.isInteger(index) || index < 0 || index > current.length) {
    throw new UsageError(`the list has ${current.length} entries, so there is no [${key}]`);
  }
  if (inner === null) return current.toSpliced(index, 1);
  return current.toSpliced(index, 1, merged(current[index], inner));
}

function merged(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const result: Record<string, unknown> = isFields(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}
