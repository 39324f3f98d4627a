import type { PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import type { JsonSchema } from "@rclaw/plugin-sdk";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { isFreeForm, isSecretName } from "./secrets.ts";
import { isObject, valueIn } from "./values.ts";

/** How a client shows one place: OpenClaw's words, because its clients read them. */
export interface UiHint {
  readonly label?: string;
  readonly help?: string;
  readonly group?: string;
  readonly order?: number;
  readonly advanced?: boolean;
  readonly sensitive?: boolean;
}

export interface Form {
  readonly schema: JsonSchema;
  /** By dotted path, `*` for any name and any element. */
  readonly uiHints: Readonly<Record<string, UiHint>>;
}

/** The order in which people look for things; what is not here comes after. */
const sections =
  "gateway agents models channels tools session messages commands plugins egress logging".split(" ");
/** A definition that holds itself is drawn so deep. */
const maxRepeats = 2;

/**
 * The whole configuration as clients draw a form from it. They know less of JSON Schema than we use: no references,
 * no name patterns, nothing beside a type. So it is said in their words here, and means the same.
 */
export function configForm(plugins: readonly PluginConfigSchema[]): Form {
  const root = plain(configSchema as unknown as JsonSchema);
  for (const { path, schema } of plugins) {
    if (Object.keys(schema).length > 0) graft(root, path.split("."), plain(schema));
  }
  const uiHints: Record<string, UiHint> = {};
  collect(root, [], uiHints);
  return {
    schema: { $schema: "http://json-schema.org/draft-07/schema#", title: "rclaw", ...root },
    uiHints,
  };
}

type Draft = Record<string, unknown>;

function plain(schema: JsonSchema, root: JsonSchema = schema, seen: readonly string[] = []): Draft {
  const { $ref: ref, definitions: _definitions, $defs: _defs, $id: _id, $schema: _schema, ...own } = schema;
  if (typeof ref === "string") {
    const target = valueIn(root, ref.split("/").slice(1));
    const isDeep = seen.filter((item) => item === ref).length >= maxRepeats;
    return isObject(target) && !isDeep ? plain({ ...target, ...own }, root, [...seen, ref]) : {};
  }
  const inner = (value: unknown): unknown => (isObject(value) ? plain(value, root, seen) : value);
  const draft: Draft = {};
  for (const [key, value] of Object.entries(own))
    if (!key.startsWith("x-")) draft[key] = inPlainWords(key, value, inner);
  dropEmpty(draft);
  const { patternProperties, properties, required } = draft;
  delete draft["patternProperties"];
  if (isObject(patternProperties) && !isObject(draft["additionalProperties"]))
    draft["additionalProperties"] = Object.values(patternProperties)[0];
  if (Array.isArray(required)) {
    // What is filled in when it is missing is required of us, not of whoever writes the file.
    const left = required.filter((key: string) => valueIn(properties, [key, "default"]) === undefined);
    if (left.length > 0) draft["required"] = left;
    else delete draft["required"];
  }
  draft["type"] ??= typeOf(draft);
  if (draft["type"] === undefined) delete draft["type"];
  return draft;
}

/** A key whose schema says nothing is only put up with, for files that were moved over: nobody should fill it in. */
function dropEmpty(draft: Draft): void {
  const entries = Object.entries((draft["properties"] as Draft | undefined) ?? {});
  const left = entries.filter(([, item]) => !isObject(item) || Object.keys(item).length > 0);
  if (left.length === entries.length) return;
  draft["properties"] = Object.fromEntries(left);
  if (draft["additionalProperties"] === false) delete draft["additionalProperties"];
}

function inPlainWords(key: string, value: unknown, inner: (value: unknown) => unknown): unknown {
  if (key === "properties" || key === "patternProperties")
    return Object.fromEntries(Object.entries(value as object).map(([name, item]) => [name, inner(item)]));
  if (key === "anyOf" || key === "oneOf" || key === "allOf") return (value as unknown[]).map(inner);
  if (key === "items") return Array.isArray(value) ? value.map(inner) : inner(value);
  // The same, but a form that has only `true` shows no fields at all.
  if (key === "additionalProperties") return value === true ? {} : inner(value);
  return value;
}

function typeOf({ enum: values, properties, items }: Draft): string | undefined {
  if (Array.isArray(values) && values.every((item) => typeof item === "string")) return "string";
  if (isObject(properties)) return "object";
  return items === undefined ? undefined : "array";
}

/** Puts a plugin's part where it stands, over what the kernel says of that place. */
function graft(into: Draft, [key = "", ...rest]: readonly string[], part: Draft): void {
  const properties = (into["properties"] ??= {}) as Record<string, Draft>;
  const { additionalProperties: others } = into;
  const known = properties[key] ?? (isObject(others) ? structuredClone(others) : {});
  properties[key] = rest.length === 0 ? over(known, part) : { type: "object", ...known };
  if (rest.length > 0) graft(properties[key], rest, part);
}

function over(known: Draft, part: Draft): Draft {
  const merged: Draft = { ...known, ...part };
  if (isObject(known["properties"])) {
    const properties: Draft = { ...known["properties"] };
    for (const [key, value] of Object.entries((part["properties"] as Draft | undefined) ?? {}))
      properties[key] = isObject(properties[key]) ? over(properties[key], value as Draft) : value;
    merged["properties"] = properties;
  }
  return merged;
}

function collect(schema: Draft, path: readonly string[], hints: Record<string, UiHint>): void {
  const name = path.at(-1);
  if (name !== undefined) hints[path.join(".")] ??= hintOf(schema, path, name);
  for (const [key, value] of Object.entries((schema["properties"] as Draft | undefined) ?? {}))
    collect(value as Draft, [...path, key], hints);
  for (const inner of [schema["additionalProperties"], schema["items"]].flat())
    if (isObject(inner)) collect(inner, [...path, "*"], hints);
  for (const branch of [schema["anyOf"], schema["oneOf"], schema["allOf"]].flat())
    if (isObject(branch)) collect(branch, path, hints);
}

function hintOf(
  { title, description, writeOnly, type }: Draft,
  path: readonly string[],
  name: string,
): UiHint {
  const isSecret = writeOnly === true || (type === "string" && (path.some(isSecretName) || isFreeForm(path)));
  const label = typeof title === "string" ? title : name === "*" ? undefined : wordsOf(name);
  const at = path.length === 1 ? sections.indexOf(name) : -1;
  return {
    ...(label !== undefined && { label }),
    ...(typeof description === "string" && { help: description }),
    ...(path.length === 1 && { group: wordsOf(name), order: 10 * (at < 0 ? sections.length : at) + 10 }),
    // Later clients fold away what does not say this.
    advanced: false,
    ...(isSecret && { sensitive: true }),
  };
}

/** `trustedProxies` is read as "Trusted proxies". */
function wordsOf(key: string): string {
  const words = key
    .replaceAll(/[-_]/g, " ")
    .replaceAll(
      /([a-z0-9])([A-Z])/g,
      (_whole, before: string, after: string) => `${before} ${after.toLowerCase()}`,
    );
  return words.charAt(0).toUpperCase() + words.slice(1);
}
