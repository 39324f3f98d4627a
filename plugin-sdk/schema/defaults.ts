import type { JsonSchema } from "../index.ts";

/** A copy of `value` with the schema's `default`s filled in where nothing was given. */
export function withDefaults(schema: JsonSchema, value: unknown): unknown {
  if (value === undefined) {
    if ("default" in schema) return structuredClone(schema["default"]);
    if (schema["type"] !== "object" || !schema["properties"]) return undefined;
    value = {};
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = schema["items"] as JsonSchema | undefined;
    return items ? value.map((item) => withDefaults(items, item)) : value;
  }
  const properties = (schema["properties"] as Record<string, JsonSchema> | undefined) ?? {};
  const extra = schema["additionalProperties"];
  const given = value as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(given)) {
    const sub =
      properties[key] ?? (typeof extra === "object" && extra !== null ? (extra as JsonSchema) : undefined);
    result[key] = sub ? withDefaults(sub, item) : item;
  }
  for (const [key, sub] of Object.entries(properties)) {
    if (key in given) continue;
    // An absent section is only made when something in it has a default: its presence may mean "configured".
    const filled = "default" in sub ? withDefaults(sub, undefined) : undefined;
    if (filled !== undefined) result[key] = filled;
  }
  return result;
}
