import type { KeyPath, PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import type { JsonSchema } from "@rclaw/plugin-sdk";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import { isSilent, openclawKeysAt } from "./known.ts";
import { ruleFindings } from "./rules.ts";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { childSchemas, schemaIssues, schemasAt, unknownKey } from "./schema-walk.ts";
import { redacted } from "./secrets.ts";
import type { Finding } from "./sources.ts";
import { dotted, isObject, valueIn } from "./values.ts";

/** The schema a plugin's manifest has for its own part of the configuration; every known plugin has one, if only `{}`. */
/** typebox's types know more than a plain JSON Schema; the walkers here need only that. */
const schema: JsonSchema = configSchema as unknown as JsonSchema;

/**
 * Everything there is to say about a configuration: `root` with environment and
 * includes filled in. Without findings that are no warnings, `withDefaults` of it
 * is a valid Config.
 */
export function findingsOf(
  root: unknown,
  { plugins, env }: { readonly plugins: readonly PluginConfigSchema[]; readonly env: NodeJS.ProcessEnv },
): Finding[] {
  if (!isObject(root)) return [{ path: [], message: "the configuration must be an object: { ... }" }];
  const filled = withDefaults(schema, root);
  const kernel = schemaIssues(compile(schema), schema, filled).map(({ path, message }) => ({
    path,
    message,
  }));
  return [
    ...kernel,
    ...plugins.flatMap((plugin) => pluginFindings(root, plugin)),
    // A rule may only look at values whose type is right.
    ...(kernel.length === 0 ? ruleFindings(filled, env) : []),
    ...unknownKeys(root, schema, [], plugins),
    ...pluginNames(root, plugins),
    ...sentinels(root, []),
  ];
}

/** Somebody copied what a client was shown into the file. */
function sentinels(value: unknown, path: KeyPath): Finding[] {
  if (value === redacted)
    return [{ path, message: `is ${redacted}, which only hides a value from view; write the value` }];
  if (Array.isArray(value)) return value.flatMap((item, index) => sentinels(item, [...path, index]));
  return isObject(value)
    ? Object.entries(value).flatMap(([key, item]) => sentinels(item, [...path, key]))
    : [];
}

/** Whether anything reads the value: then a missing environment variable there is an error, elsewhere only worth a warning. */
export function isUsed(root: unknown, path: KeyPath, plugins: readonly PluginConfigSchema[]): boolean {
  const owner = ownerOf(plugins, path);
  if (owner) return !isOff(root, owner);
  return schemasAt(schema, path).some((item) => "type" in item || "anyOf" in item || "enum" in item);
}

/** One plugin's place may lie within another's: then it is the inner one's. */
export function ownerOf(
  plugins: readonly PluginConfigSchema[],
  path: KeyPath,
): PluginConfigSchema | undefined {
  const name = `${dotted(path)}.`;
  return plugins
    .filter(({ path: own }) => name.startsWith(`${own}.`))
    .toSorted((a, b) => b.path.length - a.path.length)[0];
}

/** A plugin that is switched off may be half configured. */
function isOff(root: unknown, { owner, path }: PluginConfigSchema): boolean {
  const part = valueIn(root, path.split("."));
  const denied = valueIn(root, ["plugins", "deny"]);
  return (
    valueIn(part, ["enabled"]) === false ||
    valueIn(root, ["plugins", "enabled"]) === false ||
    valueIn(root, ["plugins", "entries", owner, "enabled"]) === false ||
    (Array.isArray(denied) && denied.includes(owner))
  );
}

function pluginFindings(root: unknown, plugin: PluginConfigSchema): Finding[] {
  const base = plugin.path.split(".");
  const value = valueIn(root, base);
  if (value === undefined) return [];
  const off = isOff(root, plugin);
  try {
    const issues = schemaIssues(compile(plugin.schema), plugin.schema, withDefaults(plugin.schema, value));
    return issues.map(({ path, message, isUnknownKey }) => ({
      path: [...base, ...path],
      message,
      // A setting of OpenClaw that the plugin does not have must not keep a migrated file from loading.
      isWarning: off || isUnknownKey,
    }));
  } catch (error) {
    const reason = (error as Error).message;
    return [
      {
        path: base,
        message: `not checked: the schema in the manifest of plugin "${plugin.owner}" is faulty (${reason})`,
        isWarning: true,
      },
    ];
  }
}

/** Keys nobody knows. They are kept and have no effect, so they are only warned about. */
function unknownKeys(
  value: unknown,
  own: JsonSchema,
  path: KeyPath,
  plugins: readonly PluginConfigSchema[],
): Finding[] {
  if (!isObject(value)) return [];
  const known = Object.keys((own["properties"] as object | undefined) ?? {});
  const place = dotted(path);
  return Object.entries(value).flatMap(([key, item]): Finding[] => {
    const here = [...path, key];
    const name = dotted(here);
    if (plugins.some((plugin) => plugin.path === name) || isSilent(name)) return [];
    const isParent = plugins.some((plugin) => plugin.path.startsWith(`${name}.`));
    const [sub] = childSchemas(own, key);
    // Without a type it is a map whose entries belong to plugins.
    const isOwn = known.includes(key) || (sub !== undefined && "type" in sub);
    if (isOwn || isParent) {
      const next = sub ?? {};
      return next["additionalProperties"] === true && !isParent ? [] : unknownKeys(item, next, here, plugins);
    }
    if (own["additionalProperties"] === true) return [];
    return [{ path: here, message: explain(key, place, known, plugins), isWarning: true }];
  });
}

function explain(
  key: string,
  place: string,
  known: readonly string[],
  plugins: readonly PluginConfigSchema[],
): string {
  const openclaw = openclawKeysAt(place);
  if (openclaw.includes(key)) return "a setting of OpenClaw that rclaw does not use; it has no effect";
  const prefix = place === "" ? "" : `${place}.`;
  const offered = plugins
    .filter(({ path }) => path.startsWith(prefix))
    .map(({ path }) => path.slice(prefix.length).split(".")[0] ?? "");
  const message = unknownKey(key, [...known, ...offered, ...openclaw]);
  if (place === "channels") return message.replace("unknown key", "no plugin provides this channel");
  if (place === "models.providers") return message.replace("unknown key", "no plugin provides this provider");
  return message;
}

/** Names of plugins that do not exist, wherever the configuration names plugins. */
function pluginNames(root: unknown, plugins: readonly PluginConfigSchema[]): Finding[] {
  const ids = plugins.map(({ owner }) => owner);
  const check = (path: KeyPath, id: unknown): Finding[] => {
    if (typeof id !== "string" || ids.includes(id)) return [];
    return [
      {
        path,
        message: unknownKey(id, ids).replace("unknown key", `there is no plugin "${id}"`),
        isWarning: true,
      },
    ];
  };
  const entries = valueIn(root, ["plugins", "entries"]);
  const lists = ["allow", "deny"].flatMap((word) => {
    const list = valueIn(root, ["plugins", word]);
    return Array.isArray(list)
      ? list.flatMap((id: unknown, index) => check(["plugins", word, index], id))
      : [];
  });
  return [
    ...(isObject(entries) ? Object.keys(entries).flatMap((id) => check(["plugins", "entries", id], id)) : []),
    ...lists,
  ];
}
