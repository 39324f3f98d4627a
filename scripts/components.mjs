// The components of built-in plugins: each one is built, transpiled and asked for its offer once, so that
// nothing of that happens on the machine of whoever uses it. What was made of the same code before is kept
// under node_modules/.cache, since one of them takes some seconds.
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import * as esbuild from "esbuild";

const root = path.resolve(import.meta.dirname, "..");
const cache = path.join(root, "node_modules/.cache/rclaw-components");
const witFolder = path.join(root, "wit/since-v0.1.0");
const sdkFolder = path.join(root, "plugin-sdk");

/** How many at a time; each takes a processor and some hundred MB. */
const side = 2;

/** Puts the component of every manifest that names one below `staging`, and what was made of it into its `components/`. */
export async function buildComponents({ manifests, staging, plugins }) {
  const paired = manifests.filter(({ entry }) => typeof entry === "object");
  const whole = manifests.filter(({ entry }) => typeof entry === "string" && entry.endsWith(".wasm"));
  if (paired.length + whole.length === 0) return;
  if (!isInstalled("componentize-qjs"))
    throw new Error("building the components needs componentize-qjs; run: npm ci");
  const parts = await load(staging, plugins);
  const waiting = [...paired, ...whole];
  await Promise.all(
    Array.from({ length: side }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await component(next, staging, parts);
    }),
  );
}

function isInstalled(name) {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** What the product is made of is written in TypeScript; what the build needs of it is bundled for this process. */
async function load(staging, plugins) {
  const outfile = path.join(staging, "build-parts.mjs");
  const source = (file) => JSON.stringify(path.join(root, file));
  await esbuild.build({
    stdin: {
      contents: `
        export { bundleForComponent, componentOf } from ${source("plugins/services/cli/author/build-component.ts")};
        export { withDefaults } from ${source("plugin-sdk/schema/defaults.ts")};
        export { createTestContext } from ${source("plugin-sdk/testing/index.ts")};`,
      resolveDir: root,
    },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    absWorkingDir: root,
    logLevel: "warning",
    plugins,
  });
  const parts = await import(pathToFileURL(outfile).href);
  rmSync(outfile);
  const lanes = createRequire(import.meta.url)(path.join(staging, "plugins/services/lanes/index.cjs"));
  return { ...parts, createLanes: lanes.default.service.createLanes };
}

async function component(manifest, staging, parts) {
  const config = manifest.configSchema ? (parts.withDefaults(manifest.configSchema, undefined) ?? {}) : {};
  const { wasm, code, make } = await sourceOf(manifest, parts);
  const kept = path.join(cache, keyOf(code, config));
  if (!existsSync(kept)) {
    const fresh = `${kept}.new-${process.pid}`;
    mkdirSync(fresh, { recursive: true });
    const file = path.join(fresh, "plugin.wasm");
    writeFileSync(file, await make());
    await ask({ manifest, config, file, fresh }, parts);
    // A gateway's cache is its user's alone; the product is for everybody on the machine.
    const offers = path.join(fresh, "cache/offers");
    chmodSync(offers, 0o755);
    for (const name of readdirSync(offers)) chmodSync(path.join(offers, name), 0o644);
    rmSync(kept, { recursive: true, force: true });
    renameSync(fresh, kept);
  }
  const target = path.join(staging, wasm);
  mkdirSync(path.dirname(target), { recursive: true });
  cpSync(path.join(kept, "plugin.wasm"), target);
  // A core module needs no transpiling.
  for (const name of ["components", "offers"].filter((each) => existsSync(path.join(kept, "cache", each))))
    cpSync(path.join(kept, "cache", name), path.join(staging, "components", name), { recursive: true });
}

/** What an artefact is made of, and how. A guest in another language was made before, and is only asked. */
async function sourceOf({ entry }, { bundleForComponent, componentOf }) {
  if (typeof entry === "string") {
    const bytes = readFileSync(path.join(root, entry));
    return { wasm: entry, code: bytes, make: () => bytes };
  }
  const source = path.join(root, entry.js.replace(/\.js$/, ".ts"));
  const code = await bundleForComponent({ entry: source, witFolder, sdkFolder });
  return { wasm: entry.wasm, code, make: () => componentOf(code, { entry: source, witFolder }) };
}

/** Brings it to life as a gateway would, whose cache then holds what every other gateway would have to make. */
async function ask({ manifest, config, file, fresh }, { createLanes, createTestContext }) {
  const troubles = [];
  const silent = () => {};
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const report = (id, where, error) => troubles.push(`${id}: ${where}: ${error.message}`);
  const lanes = createLanes({ log, stateDir: fresh, limits: () => ({}), report });
  const rclaw = createTestContext({ id: manifest.id, manifest, config });
  try {
    const found = { manifest, entry: file, wasm: file, file, builtIn: false };
    await rclaw.activate(await lanes.load(found, "wasm"));
  } catch (error) {
    throw new Error(
      `the component of ${manifest.id} does not start: ${error.message} ${troubles.join(", ")}`,
      {
        cause: error,
      },
    );
  } finally {
    await rclaw[Symbol.asyncDispose]();
    await lanes.close();
  }
}

/** All that what is made of it depends on. */
function keyOf(code, config) {
  const key = createHash("sha256").update(code).update(JSON.stringify(config));
  const lanes = path.join(root, "plugins/services/lanes");
  const files = [
    ...readdirSync(witFolder).map((name) => path.join(witFolder, name)),
    ...readdirSync(lanes)
      .filter((name) => /^(?:transpile|cache)/.test(name))
      .map((name) => path.join(lanes, name)),
    path.join(root, "node_modules/componentize-qjs/package.json"),
    path.join(root, "node_modules/@bytecodealliance/jco-transpile/package.json"),
  ];
  for (const file of files) key.update(path.basename(file)).update(readFileSync(file));
  return key.digest("hex").slice(0, 32);
}
