import { readdir } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import type { JsonSchema } from "@rclaw/plugin-sdk";
import { nastyKeys } from "./fuzz-frames.ts";

/** Params of one method: as they should be, nearly so, or not at all. */
export interface MethodFuzz {
  readonly method: string;
  readonly params: fc.Arbitrary<unknown>;
}

/**
 * Not fuzzed here with params that could be right, each for its reason. Their refusals are fuzzed all the
 * same, since those with a wrong shape end before anything happens.
 */
const onlyWrong: readonly { readonly names: RegExp; readonly because: string }[] = [
  {
    names: /^config\.(?:edit|set|patch|apply)$/,
    because: "it could change the token that the fuzz comes in with",
  },
  {
    names: /^plugins\.|^update\.|^skills\.(?:install|update)$|^wizard\./,
    because: "it installs, or switches off",
  },
  { names: /^cron\./, because: "a job that runs every millisecond would be the fuzz's doing" },
  { names: /^device\.|^node\.pair/, because: "it could remove the device that the fuzz comes in with" },
  { names: /^channels\.st|^channels\.logout$/, because: "it stops what others test" },
  {
    names: /^browser\.|^node\.invoke$|^push\.|^tts\.convert$/,
    because: "it asks somebody outside and waits",
  },
  {
    names: /shutdown|restart|^secrets\.|^logs\.|^sessions\.compact$/,
    because: "it ends, or reads all of a disk",
  },
];

const byRight = (method: string): boolean => !onlyWrong.some(({ names }) => names.test(method));

/** Every `<method>Params` of the built-in plugins: `chatSendParams` is what chat.send takes. */
async function schemas(): Promise<ReadonlyMap<string, JsonSchema>> {
  const services = path.resolve(import.meta.dirname, "../../plugins/services");
  const found = new Map<string, JsonSchema>();
  const files = await readdir(services, { recursive: true });
  for (const file of files.filter((name) => name.endsWith(".schema.ts")).sort()) {
    const exported = (await import(pathToFileURL(path.join(services, file)).href)) as Record<string, unknown>;
    for (const [name, schema] of Object.entries(exported))
      if (name.endsWith("Params")) found.set(name.slice(0, -6).toLowerCase(), schema as JsonSchema);
  }
  return found;
}

/** A fuzz for each method; one whose schema goes by another name is fuzzed with the names of all. */
export async function methodFuzz(methods: readonly string[]): Promise<readonly MethodFuzz[]> {
  const all = await schemas();
  const properties: Record<string, JsonSchema> = {};
  for (const schema of all.values()) Object.assign(properties, schema["properties"]);
  const anything = someOf(properties);
  return methods.map((method) => {
    const schema = all.get(method.replaceAll(/[.-]/g, "").toLowerCase());
    const right = schema ? fromSchema(schema) : anything;
    const wrong = fc.oneof(
      { weight: 3, arbitrary: fc.tuple(right, change).map(([params, how]) => changed(params, how)) },
      { weight: 1, arbitrary: garbage },
    );
    const mixed = byRight(method)
      ? fc.oneof({ weight: 1, arbitrary: right }, { weight: 2, arbitrary: wrong })
      : wrong;
    return { method, params: mixed.map((params) => hurry(method, params)) };
  });
}

/** Nobody waits long for an answer or an approval, and a run takes no longer than it must. */
function hurry(method: string, params: unknown): unknown {
  if (typeof params !== "object" || params === null || Array.isArray(params)) return params;
  const waits = "runId" in params || "timeoutMs" in params || method.endsWith(".approval.request");
  return { ...params, ...(waits && { timeoutMs: 1 }) };
}

const words = fc.constantFrom(
  "main",
  "agent:main:fuzz",
  "default",
  "telegram",
  "on",
  "off",
  "x",
  "1",
  "https://example.org/",
);
const nasty = fc.oneof(
  { weight: 64, arbitrary: fc.constantFrom(...nastyKeys.filter(({ length }) => length < 600)) },
  { weight: 32, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  // Seldom: each is as much to send and to read as a hundred others.
  { weight: 1, arbitrary: fc.constant("a".repeat(20_000)) },
);
const garbage: fc.Arbitrary<unknown> = fc.oneof(
  nasty,
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e308, 2 ** 53, [], {}, [[]], [null], { length: -1 }),
  fc
    .constantFrom('{"__proto__":{"isAdmin":true}}', '{"constructor":{"prototype":{"x":1}}}')
    .map((text) => JSON.parse(text) as unknown),
);

/** Values that a schema allows, roughly: what it says by a pattern is met by chance. */
function fromSchema(schema: JsonSchema, depth = 0): fc.Arbitrary<unknown> {
  const { anyOf, type, items, properties, required } = schema as {
    anyOf?: JsonSchema[];
    type?: string;
    items?: JsonSchema;
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  const { const: only, enum: choices, minimum = 0, maximum } = schema as Record<string, never>;
  if (only !== undefined) return fc.constant(only);
  if (choices !== undefined) return fc.constantFrom(...(choices as unknown[]));
  if (anyOf) return fc.oneof(...anyOf.map((one) => fromSchema(one, depth)));
  if (type === "string") return fc.oneof({ weight: 3, arbitrary: words }, { weight: 1, arbitrary: nasty });
  if (type === "boolean") return fc.boolean();
  if (type === "null") return fc.constant(null);
  if (type === "integer" || type === "number")
    return fc.integer({ min: Math.ceil(minimum), max: Math.max(minimum, Math.min(maximum ?? 100, 100)) });
  if (depth > 3) return fc.constant({});
  if (type === "array") return fc.array(items ? fromSchema(items, depth + 1) : garbage, { maxLength: 3 });
  if (!properties) return fc.dictionary(fc.constantFrom("a", "b", "id"), garbage, { maxKeys: 2 });
  const names = Object.keys(properties);
  const needed = (required ?? []).filter((name) => names.includes(name));
  // With all of its names at once hardly anything would come of it; what is left out costs nothing to make.
  const thirds = [0, 1, 2].map((at) => {
    const kept = names.filter((name, i) => needed.includes(name) || (i + at) % 3 === 0);
    return fc.record(
      Object.fromEntries(kept.map((name) => [name, fromSchema(properties[name] ?? {}, depth + 1)])),
      { requiredKeys: needed },
    );
  });
  return fc.oneof(...thirds);
}

/** A few of many members, for a method that takes none of them, or one that nobody wrote down. */
function someOf(properties: Readonly<Record<string, JsonSchema>>): fc.Arbitrary<unknown> {
  const members = Object.entries(properties).map(([name, schema]) =>
    fromSchema(schema, 1).map((value) => [name, value] as const),
  );
  return fc.array(fc.oneof(...members), { maxLength: 4 }).map((some) => Object.fromEntries(some));
}

const change = fc.record({
  how: fc.constantFrom("replace", "remove", "add", "nest"),
  at: fc.nat(100),
  value: garbage,
});

function changed(params: unknown, { how, at, value }: { how: string; at: number; value: unknown }): unknown {
  if (typeof params !== "object" || params === null) return value;
  const names = Object.keys(params);
  const name = names[at % Math.max(1, names.length)] ?? "x";
  const { [name]: _old, ...rest } = params as Record<string, unknown>;
  if (how === "remove") return rest;
  if (how === "nest") return { [name]: params };
  if (how === "add") return { ...params, extra: value };
  return { ...rest, [name]: value };
}
