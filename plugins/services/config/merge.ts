import { forbiddenKeys, isObject } from "./values.ts";

/** RFC 7396, and as in OpenClaw lists whose elements have an `id` are merged element by element. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (Array.isArray(target) && Array.isArray(patch) && [...target, ...patch].every(hasId))
    return mergeById(target, patch);
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (forbiddenKeys.has(key)) continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value);
  }
  return result;
}

function hasId(item: unknown): item is { id: string } {
  return isObject(item) && typeof item["id"] === "string";
}

function mergeById(target: readonly { id: string }[], patch: readonly { id: string }[]): unknown[] {
  const merged = target.map((item) =>
    patch.filter(({ id }) => id === item.id).reduce<unknown>(mergePatch, item),
  );
  const added = patch.filter(({ id }) => !target.some((item) => item.id === id));
  return [...merged, ...added.map((item) => mergePatch({}, item))];
}
