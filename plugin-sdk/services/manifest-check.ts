import { RclawError } from "../errors.ts";
import type { Manifest } from "../manifest.ts";
import { manifestSchema } from "../manifest.schema.ts";
import { compile, describeIssues } from "../schema/check.ts";
import { isInRange, sdkVersion } from "./version-range.ts";

const schema = compile(manifestSchema);

/**
 * A manifest's data as a Manifest, or MANIFEST_INVALID with the file and what is wrong. JSON5 lets
 * `__proto__` through as a plain key, so prototype keys are refused before anything reads the object.
 */
export function checkManifest(raw: unknown, file: string): Manifest {
  const refuse = (reason: string): never => {
    throw new RclawError("MANIFEST_INVALID", `${file}: ${reason}`);
  };
  const bad = prototypeKey(raw);
  if (bad) refuse(`the key "${bad}" is not allowed`);
  const issues = schema.issues(raw);
  if (issues.length > 0) refuse(describeIssues(issues));
  const manifest = raw as Manifest;
  for (const host of manifest.permissions?.net ?? []) {
    if (/^\*?$|^\*\.[^.]*$|\s|\/|^\*.*\*/.test(host))
      refuse(`permissions.net "${host}" must be a host name; a wildcard needs at least two labels after it`);
  }
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

function prototypeKey(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  for (const key of Object.keys(value)) {
    if (key === "__proto__" || key === "constructor" || key === "prototype") return key;
    const inner = prototypeKey((value as Record<string, unknown>)[key]);
    if (inner) return inner;
  }
  return undefined;
}
