import type { KeyPath } from "@rclaw/plugin-sdk/services/config";
import type { JsonSchema } from "@rclaw/plugin-sdk";
import { type Check, type Issue } from "@rclaw/plugin-sdk/schema/check";
import { nearest } from "@rclaw/plugin-sdk/services/nearest";
import { isObject, valueIn } from "./values.ts";

/** The parts of a schema that may describe the value at a key of its object or list. */
export function childSchemas(schema: JsonSchema, key: string | number): JsonSchema[] {
  const found: unknown[] = [];
  const properties = schema["properties"];
  const patterns = schema["patternProperties"];
  if (isObject(properties) && Object.hasOwn(properties, key)) found.push(properties[key]);
  if (isObject(patterns)) {
    for (const [pattern, sub] of Object.entries(patterns))
      if (new RegExp(pattern, "u").test(String(key))) found.push(sub);
  }
  if (found.length === 0) found.push(schema["additionalProperties"]);
  if (typeof key === "number" || /^\d+$/.test(key)) found.push(schema["items"]);
  const branches = ["anyOf", "oneOf", "allOf"].flatMap(
    (word) => (schema[word] as JsonSchema[] | undefined) ?? [],
  );
  return [
    ...found.filter(isObject),
    ...branches.filter(isObject).flatMap((branch) => childSchemas(branch, key)),
  ];
}

export function schemasAt(schema: JsonSchema, path: KeyPath): JsonSchema[] {
  return path.reduce<JsonSchema[]>(
    (schemas, key) => schemas.flatMap((item) => childSchemas(item, key)),
    [schema],
  );
}

export interface SchemaIssue {
  readonly path: KeyPath;
  readonly message: string;
  /** Only says that a key is not known. */
  readonly isUnknownKey: boolean;
}

/** What is wrong with a value, one line a place, in words for the person who wrote the file. Never shows a value. */
export function schemaIssues(check: Check, schema: JsonSchema, value: unknown): SchemaIssue[] {
  const unknown: SchemaIssue[] = [];
  const places = new Map<string, Issue[]>();
  for (const issue of check.issues(value)) {
    if (issue.keyword !== "additionalProperties") {
      places.set(issue.path, [...(places.get(issue.path) ?? []), issue]);
      continue;
    }
    const key = /'([^]*)'$/.exec(issue.message)?.[1] ?? "";
    const path = fromPointer(issue.path);
    const candidates = schemasAt(schema, path).flatMap((item) =>
      Object.keys((item["properties"] as object | undefined) ?? {}),
    );
    unknown.push({ path: [...path, key], message: unknownKey(key, candidates), isUnknownKey: true });
  }
  const wrong = [...places].map(([pointer, issues]) => {
    const path = fromPointer(pointer);
    return {
      path,
      message: describe(issues, schemasAt(schema, path), valueIn(value, path)),
      isUnknownKey: false,
    };
  });
  return [...wrong, ...unknown];
}

export function unknownKey(key: string, candidates: readonly string[]): string {
  const meant = nearest(key, candidates);
  return meant === undefined ? "unknown key; it has no effect" : `unknown key; did you mean "${meant}"?`;
}

function fromPointer(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function describe(issues: readonly Issue[], schemas: readonly JsonSchema[], value: unknown): string {
  const allowed = schemas.flatMap(choices);
  if (
    issues.some(({ keyword }) => keyword === "enum" || keyword === "const" || keyword === "anyOf") &&
    allowed.length > 0
  ) {
    const meant =
      typeof value === "string"
        ? nearest(
            value,
            allowed.filter((item) => typeof item === "string"),
          )
        : undefined;
    const list = allowed.map((item) => JSON.stringify(item)).join(", ");
    return `must be one of ${list}${meant === undefined ? "" : `; did you mean "${meant}"?`}`;
  }
  const isUnion = issues.some(({ keyword }) => keyword === "anyOf" || keyword === "oneOf");
  const parts = [
    ...new Set(
      issues
        .filter(({ keyword }) => keyword !== "anyOf" && keyword !== "oneOf")
        .map(({ message }) => message),
    ),
  ];
  const text = parts.join(isUnion ? " or " : "; ") || (issues[0]?.message ?? "is not valid");
  return issues.some(({ keyword }) => keyword === "type") ? `${text}; it is ${kindOf(value)}` : text;
}

function choices(schema: JsonSchema): unknown[] {
  if (Array.isArray(schema["enum"])) return schema["enum"] as unknown[];
  const branches = schema["anyOf"];
  if (!Array.isArray(branches) || !branches.every((branch) => isObject(branch) && "const" in branch))
    return [];
  return branches.map((branch: JsonSchema) => branch["const"]);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
