/** What stands at a dotted path, or undefined. A key may hold dots itself, so the longest spelling is not assumed. */
export function valueAt(config: unknown, dottedPath: string): unknown {
  return find(config, dottedPath === "" ? [] : dottedPath.split("."));
}

function find(value: unknown, parts: readonly string[]): unknown {
  if (parts.length === 0) return value;
  if (typeof value !== "object" || value === null) return undefined;
  for (let taken = 1; taken <= parts.length; taken++) {
    const key = parts.slice(0, taken).join(".");
    if (!Object.hasOwn(value, key)) continue;
    const found = find((value as Record<string, unknown>)[key], parts.slice(taken));
    if (found !== undefined) return found;
  }
  return undefined;
}
