import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type Logger, type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { manifestSchema } from "@rclaw/plugin-sdk/manifest.schema";
import JSON5 from "json5";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";

export interface Discovered {
  readonly found: readonly FoundManifest[];
  /** Manifests that were refused, with the reason. */
  readonly refused: readonly { readonly file: string; readonly reason: string }[];
}

const maxBytes = 262_144;
const schema = compile(manifestSchema);

/**
 * Validates one manifest's text. JSON5 would let `__proto__` through as a plain
 * key, so prototype keys are refused before anything reads the object.
 */
export function parseManifest(text: string, file: string): Manifest {
  let raw: unknown;
  try {
    raw = JSON5.parse(text);
  } catch (error) {
    throw new RclawError("MANIFEST_INVALID", `${file}: ${(error as Error).message}`, { cause: error });
  }
  const bad = prototypeKey(raw);
  if (bad) throw new RclawError("MANIFEST_INVALID", `${file}: the key "${bad}" is not allowed`);
  const issues = schema.issues(raw);
  if (issues.length > 0) throw new RclawError("MANIFEST_INVALID", `${file}: ${describeIssues(issues)}`);
  const manifest = raw as Manifest;
  for (const host of manifest.permissions?.net ?? []) {
    if (/^\*?$|^\*\.[^.]*$|\s|\/|^\*.*\*/.test(host)) {
      throw new RclawError(
        "MANIFEST_INVALID",
        `${file}: permissions.net "${host}" must be a host name; a wildcard needs at least two labels after it`,
      );
    }
  }
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

/** Built-ins: one index made by the build, or the `manifests/` tree when run from source. */
export async function discoverBuiltIns(root: string): Promise<Discovered> {
  const index = await readFile(path.join(root, "manifests.json"), "utf8").catch(() => undefined);
  if (index !== undefined) {
    // Written and validated by our own build: parsing it again for every start would be work done twice.
    const list = JSON.parse(index) as (Manifest & { file: string })[];
    // Joined by hand: path.join for each manifest makes it hot, and V8's optimising compiler costs an idle gateway 4 MB.
    const found = list.map(({ file, ...manifest }) => ({
      manifest,
      entry: root + path.sep + manifest.entry.replaceAll("/", path.sep),
      file,
      builtIn: true,
    }));
    return { found, refused: [] };
  }
  const folder = path.join(root, "manifests");
  const names = await readdir(folder, { recursive: true });
  const files = names.filter((name) => name.endsWith(".json5")).map((name) => path.join(folder, name));
  return readAll(files.sort(), true, (_file, manifest) =>
    path.join(root, manifest.entry.replace(/\.js$/, ".ts")),
  );
}

/** What the operator installed: one folder each below `<state>/plugins`, with `rclaw.plugin.json5` in its root. */
export async function discoverInstalled(folder: string, log: Logger): Promise<Discovered> {
  const names = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const files: string[] = [];
  for (const { name } of names) {
    const file = path.join(folder, name, "rclaw.plugin.json5");
    if (await stat(file).catch(() => undefined)) files.push(file);
  }
  const result = await readAll(files.sort(), false, (file, manifest) =>
    path.join(path.dirname(file), manifest.entry),
  );
  for (const { file, reason } of result.refused) log.warn({ file, reason }, "plugin manifest refused");
  return result;
}

async function readAll(
  files: readonly string[],
  builtIn: boolean,
  entryOf: (file: string, manifest: Manifest) => string,
): Promise<Discovered> {
  const found: FoundManifest[] = [];
  const refused: { file: string; reason: string }[] = [];
  for (const file of files) {
    try {
      if ((await stat(file)).size > maxBytes)
        throw new RclawError("MANIFEST_INVALID", `${file} is larger than ${maxBytes} bytes`);
      const manifest = parseManifest(await readFile(file, "utf8"), file);
      const entry = entryOf(file, manifest);
      if (!builtIn && !entry.startsWith(path.dirname(file) + path.sep)) {
        throw new RclawError(
          "MANIFEST_INVALID",
          `${file}: entry "${manifest.entry}" leaves the plugin's folder`,
        );
      }
      const expected = builtIn ? path.basename(file, ".json5") : path.basename(path.dirname(file));
      if (manifest.id !== expected) {
        throw new RclawError(
          "MANIFEST_INVALID",
          `${file}: id "${manifest.id}" must be "${expected}", like the ${builtIn ? "file" : "folder"}`,
        );
      }
      found.push({ manifest, entry, file, builtIn });
    } catch (error) {
      refused.push({ file, reason: (error as Error).message });
    }
  }
  return { found, refused };
}
