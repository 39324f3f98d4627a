import type { Manifest } from "@rclaw/plugin-sdk";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";

/** A manifest with nothing in it but what a test is about. */
export function found(manifest: Partial<Manifest> & { id: string }, builtIn = true): FoundManifest {
  return {
    builtIn,
    file: `/plugins/${manifest.id}/rclaw.plugin.json5`,
    entry: `/plugins/${manifest.id}/index.js`,
    manifest: {
      name: manifest.id,
      description: "A test plugin.",
      runtime: "in-process",
      entry: "index.js",
      contributes: {},
      ...manifest,
    },
  };
}
