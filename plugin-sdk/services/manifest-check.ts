import { RclawError } from "../errors.ts";
import type { Manifest } from "../manifest.ts";
import type { JsonSchema } from "../tool.ts";
import { manifestSchema } from "../manifest.schema.ts";
import { compile, describeIssues } from "../schema/check.ts";
import { withDefaults } from "../schema/defaults.ts";
import { refuseEndless } from "../schema/pattern.ts";
import { isInRange, sdkVersion } from "./version-range.ts";

const schema = compile(manifestSchema);
const maxDepth = 64;
/** What egress understands: host, *.host.tld, either with a port; or the host of a URL in the plugin's settings. */
const grant =
  /^(?:config:[\w*-]+(?:\.[\w*-]+)*|(?:\*\.(?=[^.]+\.[^.])[^:[\]/@?#\s*]+|\[[0-9a-f:.]+\]|[^:[\]/@?#\s*]+)(?::\d{1,5})?)$/i;

/** A manifest's data as a Manifest, or MANIFEST_INVALID with the file and what is wrong. */
export function checkManifest(raw: unknown, file: string): Manifest {
  const refuse = (reason: string): never => {
    throw new RclawError("MANIFEST_INVALID", `${file}: ${reason}`);
  };
  const bad = unsafe(raw);
  if (bad) refuse(bad);
  const issues = schema.issues(raw);
  if (issues.length > 0) refuse(describeIssues(issues));
  const manifest = raw as Manifest;
  const { net = [], secrets = [] } = manifest.permissions ?? {};
  const bound = secrets.flatMap((entry) => (typeof entry === "string" ? [] : entry.hosts));
  const host =
    net.map(hostOf).find((entry) => entry !== "*" && !grant.test(entry)) ??
    bound.find((entry) => !grant.test(entry));
  if (host !== undefined)
    refuse(
      `the host ${JSON.stringify(host)} in its permissions must be a host name, such as "api.example.org", "*.example.org" or "127.0.0.1:8080", or "config:" and a setting; a wildcard needs at least two labels after it`,
    );
  const mistake = manifest.configSchema && schemaMistake(manifest.configSchema);
  if (mistake !== undefined) refuse(`configSchema is no JSON Schema that is understood: ${mistake}`);
  const range = manifest.engines?.sdk;
  if (range === undefined) return manifest;
  const fits = isInRange(sdkVersion, range);
  if (fits === undefined) refuse(`engines.sdk "${range}" is not understood; write it like "^${sdkVersion}"`);
  if (!fits)
    refuse(
      `plugin "${manifest.id}" was made for version ${range} of the plugin SDK, this rclaw has ${sdkVersion}; install a version of the plugin for ${sdkVersion}, or another rclaw`,
    );
  return manifest;
}

/** What only a plugin that ships with rclaw may ask for; undefined when there is nothing of it. */
export function strangersMistake({ permissions }: Manifest): string | undefined {
  if (!permissions?.net?.some((entry) => hostOf(entry) === "*")) return undefined;
  return 'permissions.net "*", every host there is, is only for what ships with rclaw; name the hosts, such as "api.example.org"';
}

const hostOf = (entry: string | { readonly host: string }): string =>
  typeof entry === "string" ? entry : entry.host;

/** JSON5 lets `__proto__` through as a plain key, and whoever walks the object later would run out of stack. */
function unsafe(value: unknown, depth = 0): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > maxDepth) return `it is nested deeper than ${maxDepth} levels`;
  for (const [key, item] of Object.entries(value)) {
    if (key === "__proto__" || key === "constructor" || key === "prototype")
      return `the key "${key}" is not allowed`;
    const inner = unsafe(item, depth + 1);
    if (inner) return inner;
  }
  return undefined;
}

/** Tried here, because the next to use it is whoever reads the configuration: everybody. */
function schemaMistake(configSchema: JsonSchema): string | undefined {
  try {
    refuseEndless(configSchema);
    compile(configSchema).issues(withDefaults(configSchema, {}));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
