import type { JsonSchema } from "@rclaw/plugin-sdk";
import type { Form, UiHint } from "./form.ts";
import { forbiddenKeys, isObject } from "./values.ts";
import { needsRestart } from "./watch.ts";

const maxSegments = 32;
/** Of a place's own schema, what is left when its children are listed one by one. */
const ownWords =
  /^(?:title|description|format|pattern|type|enum|const|default|deprecated|readOnly|writeOnly|uniqueItems|multipleOf|(?:exclusive)?(?:min|max)imum|(?:min|max)(?:Length|Items|Properties))$/;

interface Place {
  readonly path: string;
  readonly schema: JsonSchema;
  readonly reloadKind: string;
  readonly hint?: UiHint;
  readonly hintPath?: string;
  readonly children: readonly object[];
}

/** One place of the form with what stands below it, or undefined where nothing is; `.` is the root. */
export function lookUp({ schema, uiHints }: Form, asked: string): Place | undefined {
  const path = normal(asked);
  const isRoot = asked.trim() === ".";
  const segments = path === "" ? [] : path.split(".");
  if ((segments.length === 0 && !isRoot) || segments.length > maxSegments) return undefined;
  const found = segments.reduce<JsonSchema | undefined>((at, key) => at && childOf(at, key), schema);
  if (!found) return undefined;
  return {
    path: isRoot ? "." : path,
    schema: brief(found),
    reloadKind: kindOf(path),
    ...hintAt(uiHints, path),
    children: childrenOf(found, path, uiHints),
  };
}

/** `a[0].b` and `a[].b` say what `a.0.b` and `a.*.b` do. */
function normal(path: string): string {
  return path
    .trim()
    .replaceAll(/\[(\*|\d*)\]/g, (_whole, at: string) => `.${at || "*"}`)
    .split(".")
    .filter(Boolean)
    .join(".");
}

const kindOf = (path: string): string => (path !== "" && needsRestart(path) ? "restart" : "hot");

function childOf(schema: JsonSchema, key: string): JsonSchema | undefined {
  if (forbiddenKeys.has(key)) return undefined;
  const { properties, items, additionalProperties: others } = schema;
  if (isObject(properties) && Object.hasOwn(properties, key)) return properties[key] as JsonSchema;
  if (/^(?:\*|\d+)$/.test(key) && isObject(items)) return items;
  for (const branch of branchesOf(schema)) {
    const found = childOf(branch, key);
    if (found) return found;
  }
  return isObject(others) ? others : undefined;
}

function branchesOf(schema: JsonSchema): JsonSchema[] {
  return [schema["anyOf"], schema["oneOf"], schema["allOf"]].flat().filter(isObject);
}

function brief(schema: JsonSchema): JsonSchema {
  const own = Object.fromEntries(Object.entries(schema).filter(([key]) => ownWords.test(key)));
  const { additionalProperties: others, items } = schema;
  const branches = ["anyOf", "oneOf", "allOf"].flatMap((word) =>
    Array.isArray(schema[word]) ? [[word, schema[word].filter(isObject).map(brief)] as const] : [],
  );
  return {
    ...own,
    ...(others !== undefined && { additionalProperties: isObject(others) ? brief(others) : others }),
    ...(isObject(items) && { items: brief(items) }),
    ...Object.fromEntries(branches),
  };
}

function childrenOf(schema: JsonSchema, path: string, uiHints: Form["uiHints"]): object[] {
  const required = (schema["required"] as string[] | undefined) ?? [];
  const describe = (key: string, child: JsonSchema): object => {
    const here = path === "" ? key : `${path}.${key}`;
    return {
      key,
      path: here,
      ...(child["type"] !== undefined && { type: child["type"] }),
      required: required.includes(key),
      hasChildren: hasChildren(child),
      reloadKind: kindOf(here),
      ...hintAt(uiHints, here),
    };
  };
  const named = Object.entries((schema["properties"] as Record<string, JsonSchema> | undefined) ?? {});
  const any = [schema["additionalProperties"], schema["items"]].find(isObject);
  return [...named.map(([key, child]) => describe(key, child)), ...(any ? [describe("*", any)] : [])];
}

function hasChildren(schema: JsonSchema): boolean {
  const { properties, additionalProperties: others, items } = schema;
  if (isObject(properties) && Object.keys(properties).length > 0) return true;
  return isObject(others) || isObject(items) || branchesOf(schema).some(hasChildren);
}

/** The hint of a place, or of the pattern it fits. */
function hintAt(uiHints: Form["uiHints"], path: string): { hint?: UiHint; hintPath?: string } {
  const exact = Object.hasOwn(uiHints, path) ? path : undefined;
  const parts = path.split(".");
  const fits = (pattern: string): boolean => {
    const keys = pattern.split(".");
    return keys.length === parts.length && keys.every((key, at) => key === "*" || key === parts[at]);
  };
  const hintPath = exact ?? Object.keys(uiHints).find((key) => key.includes("*") && fits(key));
  const hint = hintPath === undefined ? undefined : uiHints[hintPath];
  return hint && hintPath !== undefined ? { hint, hintPath } : {};
}
