import type { KeyPath } from "@rclaw/plugin-sdk/services/config";
import { isObject } from "./values.ts";

/** A value that was written as a reference to the environment. */
interface EnvUse {
  readonly path: KeyPath;
  readonly names: readonly string[];
}

export interface Substitution {
  readonly value: unknown;
  readonly used: readonly EnvUse[];
  readonly missing: readonly EnvUse[];
}

const reference = /\$(\$?)\{([A-Z_][A-Z0-9_]*)\}/g;

/**
 * Fills in `${NAME}` in every string, never in keys; `$${NAME}` stays as `${NAME}`.
 * What comes from the environment is not looked at again, so a variable cannot
 * smuggle in another one. A variable that is not set, or empty, leaves the reference.
 */
export function substituteEnv(root: unknown, env: NodeJS.ProcessEnv): Substitution {
  const used: EnvUse[] = [];
  const missing: EnvUse[] = [];

  const expand = (text: string, path: KeyPath): string => {
    const found: string[] = [];
    const absent: string[] = [];
    const result = text.replaceAll(reference, (whole, escape: string, name: string) => {
      if (escape) return whole.slice(1);
      const value = env[name];
      (value ? found : absent).push(name);
      return value ? value : whole;
    });
    if (found.length > 0) used.push({ path, names: found });
    if (absent.length > 0) missing.push({ path, names: absent });
    return result;
  };
  const walk = (value: unknown, path: KeyPath): unknown => {
    if (typeof value === "string") return value.includes("${") ? expand(value, path) : value;
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]));
  };
  return { value: walk(root, []), used, missing };
}
