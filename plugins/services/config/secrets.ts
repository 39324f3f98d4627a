import type { KeyPath, PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import type { JsonSchema } from "@rclaw/plugin-sdk";
import { childSchemas } from "./schema-walk.ts";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { isObject, valueIn } from "./values.ts";

/** What stands in the place of a secret; OpenClaw's clients know it and send it back unchanged. */
export const redacted = "__OPENCLAW_REDACTED__";

const secretName =
  /(?:token|password|passwd|pwd|passphrase|secret|apikey|privatekey|secretkey|accesskey|signingkey|encryptkey|encryptionkey|credential|authorization|cookie)s?$/;

export function isSecretName(key: string | number): boolean {
  return secretName.test(
    String(key)
      .replaceAll(/[-_.\s]/g, "")
      .toLowerCase(),
  );
}

/** Decides by place and kind of value, never by comparing texts: a short secret must not blank innocent words. */
export type SecretTest = (path: KeyPath, value: string | number) => boolean;

export function secretTest(plugins: readonly PluginConfigSchema[]): SecretTest {
  const roots = [
    { base: [] as string[], schema: configSchema as unknown as JsonSchema },
    ...plugins.map(({ path, schema }) => ({ base: path.split("."), schema })),
  ];
  const isWriteOnly = (path: KeyPath): boolean =>
    roots.some(
      ({ base, schema }) =>
        base.every((key, index) => key === path[index]) && marked(schema, path.slice(base.length), schema),
    );

  return (path, value) => {
    if (value === "" || value === redacted) return false;
    if (typeof value === "number") return isSecretName(path.at(-1) ?? "") && !/s$/i.test(String(path.at(-1)));
    if (isReference(path, value)) return false;
    return path.some(isSecretName) || isFreeForm(path) || hasUserInfo(value) || isWriteOnly(path);
  };
}

/** Follows the path through the schema, `left` being how many references may still be followed. */
function marked(schema: JsonSchema, path: KeyPath, root: JsonSchema, left = 16): boolean {
  if (schema["writeOnly"] === true) return true;
  const ref = schema["$ref"];
  const target = typeof ref === "string" ? valueIn(root, ref.split("/").slice(1)) : undefined;
  const branches = ["anyOf", "oneOf", "allOf"].flatMap(
    (word) => (schema[word] as unknown[] | undefined) ?? [],
  );
  const same = [target, ...branches].filter(isObject);
  if (left > 0 && same.some((item) => marked(item, path, root, left - 1))) return true;
  const [key, ...rest] = path;
  return key !== undefined && childSchemas(schema, key).some((child) => marked(child, rest, root, left));
}

/** The name of a secret is none. The gateway's own token is never looked up, so there it would be the secret itself. */
function isReference(path: KeyPath, value: string): boolean {
  if (/^\$\{[A-Z_][A-Z0-9_]*\}$/.test(value)) return true;
  return path[0] !== "gateway" && /^secret:[a-z][a-z0-9-]*(?:\.[A-Za-z0-9_-]+)*$/.test(value);
}

/** HTTP headers and environments hold secrets under any name. */
export function isFreeForm(path: KeyPath): boolean {
  const [parent, grandparent] = [path.at(-2), path.at(-3)];
  return parent === "headers" || parent === "env" || (parent === "vars" && grandparent === "env");
}

function hasUserInfo(value: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]*:[^/?#@\s]+@/i.test(value);
}
