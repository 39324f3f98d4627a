import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { RclawError } from "@rclaw/plugin-sdk";
import type { BuildFailure, Plugin as BundlerPlugin } from "esbuild";

export interface ComponentSource {
  /** The author's entry file; its default export is the plugin. */
  readonly entry: string;
  /** Holds the contract, `*.wit`. */
  readonly witFolder: string;
  /** `@rclaw/plugin-sdk`, as source or as its published package. */
  readonly sdkFolder: string;
  /** Another module with `servePlugin` than the SDK's. */
  readonly serve?: string;
  readonly signal?: AbortSignal;
}

/** Makes a WASM component from ordinary asynchronous TypeScript. Needs esbuild and componentize-qjs beside the author's code. */
export async function buildComponent({ signal, ...source }: ComponentSource): Promise<Uint8Array> {
  const code = await bundleForComponent(source);
  signal?.throwIfAborted();
  return componentOf(code, { signal, ...source });
}

/** The second half of it: a component of code that was bundled before. @public used by the build */
export async function componentOf(
  jsSource: string,
  { signal, ...source }: Pick<ComponentSource, "entry" | "witFolder"> & { signal?: AbortSignal | undefined },
): Promise<Uint8Array> {
  const { componentize } = await installed<typeof import("componentize-qjs")>(
    "componentize-qjs",
    source.entry,
  );
  try {
    const { component } = await componentize({
      witPath: source.witFolder,
      jsSource,
      world: "reactor-plugin",
      optSize: true,
      stubWasi: true,
      sync: true,
    });
    signal?.throwIfAborted();
    return component;
  } catch (error) {
    signal?.throwIfAborted();
    throw new RclawError(
      "INVALID_REQUEST",
      `${source.entry} was bundled, but could not be run to make a component of it: ${(error as Error).message.trim()}`,
      { cause: error },
    );
  }
}

/** A tool of the author's, wherever it is installed: beside the plugin, else beside rclaw. */
export async function installed<Module>(name: string, entry: string): Promise<Module> {
  const { createRequire } = await import("node:module");
  for (const from of [path.resolve(entry), import.meta.filename]) {
    try {
      const found = createRequire(from).resolve(name);
      const module = (await import(pathToFileURL(found).href)) as Module & { default?: Module };
      return { ...module.default, ...module };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new RclawError(
    "NOT_FOUND",
    `building a component needs ${name}, which is not installed: run \`npm install --save-dev ${name}\` in the plugin's folder`,
  );
}

/** The SDK's modules are `.ts` in its source and `.js` below `dist` when published. */
function sdkModule(sdkFolder: string, name: string): string {
  const source = path.join(sdkFolder, `${name}.ts`);
  return existsSync(source) ? source : path.join(sdkFolder, "dist", `${name}.js`);
}

/** The first half of it: the plugin, the SDK's far side and the globals of its world as one file. @public used by the build */
export async function bundleForComponent({ entry, sdkFolder, serve }: ComponentSource): Promise<string> {
  const esbuild = await installed<typeof import("esbuild")>("esbuild", entry);
  const sdk = (name: string): string => sdkModule(sdkFolder, name);
  const modules = {
    globals: sdk("guest/globals"),
    clock: sdk("guest/clock"),
    reactor: sdk("guest/reactor"),
    ask: sdk("guest/ask"),
    serve: serve ?? sdk("guest/serve"),
    plugin: path.resolve(entry),
  };
  const at = (name: keyof typeof modules): string => JSON.stringify(modules[name]);
  // The first import makes the world complete before the author's code sees it.
  const main = `
    import ${at("globals")};
    import * as clock from "rclaw:plugin/clock@0.1.0";
    import { useClock } from ${at("clock")};
    import { createReactor } from ${at("reactor")};
    import { ask } from ${at("ask")};
    import { servePlugin } from ${at("serve")};
    import plugin from ${at("plugin")};
    useClock(clock);
    export const reactor = createReactor(servePlugin(plugin, ask));`;
  try {
    const { outputFiles } = await esbuild.build({
      stdin: { contents: main, resolveDir: path.dirname(path.resolve(entry)), sourcefile: "component.js" },
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["module", "import"],
      target: "es2023",
      // The promises of the guest are its own: nothing may use the engine's, which the syntax would.
      supported: {
        "async-await": false,
        "async-generator": false,
        "for-await": false,
        "top-level-await": false,
        using: false,
      },
      legalComments: "none",
      logLevel: "silent",
      external: ["rclaw:*"],
      nodePaths: besideSdk(sdkFolder),
      plugins: [resolveSdk(sdkFolder, true), inlineSchemas(esbuild, sdkFolder), refuseNode()],
    });
    return outputFiles[0]?.text ?? "";
  } catch (error) {
    throw explained(error as BuildFailure);
  }
}

/** Where typebox is, which the SDK brings along: in the repository, in a package, and beside a package. */
export const besideSdk = (sdkFolder: string): string[] =>
  ["node_modules", "../node_modules", "../..", "../../node_modules", "../../.."].map((up) =>
    path.join(sdkFolder, up),
  );

export function explained(failure: BuildFailure): RclawError {
  const lines = (failure.errors ?? []).map(({ text, location }) =>
    location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text,
  );
  const what = lines.length > 0 ? lines.join("\n") : failure.message;
  return new RclawError("INVALID_REQUEST", `the plugin cannot be bundled:\n${what}`, { cause: failure });
}

export function resolveSdk(sdkFolder: string, inGuest: boolean): BundlerPlugin {
  return {
    name: "sdk",
    setup(build) {
      build.onResolve({ filter: /^@rclaw\/plugin-sdk(\/|$)/ }, ({ path: target }) => {
        const sub = target.slice("@rclaw/plugin-sdk".length + 1) || "index";
        return { path: sdkModule(sdkFolder, sub), sideEffects: sub.startsWith("guest/") };
      });
      if (inGuest)
        build.onResolve({ filter: /^typebox$/ }, () => ({ path: sdkModule(sdkFolder, "guest/type") }));
    },
  };
}

/** What Node offers is not there in a sandbox; the sentence says what is. */
function refuseNode(): BundlerPlugin {
  const instead: Readonly<Record<string, string>> = {
    crypto: "use the global crypto (randomUUID, getRandomValues) and ctx.secrets.sign",
    fs: "use context.files of the tool call, or ctx.storage",
    http: "use ctx.fetch",
    https: "use ctx.fetch",
    timers: "use the global setTimeout",
    url: "use the global URL",
    util: "use the global TextEncoder and TextDecoder",
  };
  return {
    name: "refuse-node",
    setup(build) {
      build.onResolve({ filter: /^node:/ }, ({ path: target }) => {
        const hint = instead[target.slice("node:".length).split("/")[0] ?? ""];
        const text = `${target} is not there in a sandbox${hint ? `: ${hint}` : ""}`;
        return { errors: [{ text }] };
      });
    },
  };
}

/** Evaluates `*.schema.ts` now, with all of typebox, which is large and slow in the engine of a component. */
export function inlineSchemas(esbuild: typeof import("esbuild"), sdkFolder: string): BundlerPlugin {
  return {
    name: "inline-schemas",
    setup(build) {
      build.onLoad({ filter: /\.schema\.[jt]s$/ }, async ({ path: file }) => {
        const { outputFiles } = await esbuild.build({
          entryPoints: [file],
          bundle: true,
          write: false,
          format: "esm",
          platform: "node",
          logLevel: "silent",
          nodePaths: besideSdk(sdkFolder),
          plugins: [resolveSdk(sdkFolder, false)],
        });
        const code = outputFiles[0]?.contents ?? (await readFile(file));
        const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
        const exports = (await import(url)) as Readonly<Record<string, unknown>>;
        const contents = Object.entries(exports)
          .map(([name, value]) =>
            name === "default"
              ? `export default ${JSON.stringify(value)};`
              : `export const ${name} = ${JSON.stringify(value)};`,
          )
          .join("\n");
        return { contents, loader: "js" };
      });
    },
  };
}
