import type { BuildFailure } from "esbuild";
import { besideSdk, explained, inlineSchemas, installed, resolveSdk } from "./build-component.ts";

export interface ScriptSource {
  readonly entry: string;
  readonly folder: string;
  readonly sdkFolder: string;
}

/** One file with all it needs, for a plugin that runs in the process or in a thread. */
export async function bundleScript({ entry, folder, sdkFolder }: ScriptSource): Promise<string> {
  const esbuild = await installed<typeof import("esbuild")>("esbuild", entry);
  try {
    const { outputFiles } = await esbuild.build({
      entryPoints: [entry],
      absWorkingDir: folder,
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "node20",
      legalComments: "none",
      logLevel: "silent",
      nodePaths: besideSdk(sdkFolder),
      plugins: [resolveSdk(sdkFolder, false), inlineSchemas(esbuild, sdkFolder)],
    });
    return outputFiles[0]?.text ?? "";
  } catch (error) {
    throw explained(error as BuildFailure);
  }
}
