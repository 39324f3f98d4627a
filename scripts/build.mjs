// Bundles the product into dist/: one file for the kernel, one per built-in plugin,
// one per dynamic import. Why bundles, and why CommonJS: ARCHITECTURE.md, "Start-up and memory".
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import * as esbuild from "esbuild";
import { buildComponents } from "./components.mjs";
import { recipeOf } from "./guests.mjs";

const root = path.resolve(import.meta.dirname, "..");
const dist = path.join(root, "dist");
const forPackage = process.argv.includes("--for-package");
const stampFile = path.join(dist, ".build-stamp");
const sources = ["kernel", "plugins", "plugin-sdk", "manifests", "scripts", "wit"];

const filesIn = (folder) =>
  readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && !/[\\/](node_modules|dist)([\\/]|$)/.test(entry.parentPath + path.sep),
    )
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();

const stamp = createHash("sha256");
/** Of a guest that is too large for the package. */
const isOptional = (file) => file.endsWith(".wasm") && recipeOf(path.dirname(file)).optional === true;
for (const file of [
  ...sources.flatMap(filesIn).filter((name) => !forPackage || !isOptional(name)),
  path.join(root, "package.json"),
  path.join(root, "package-lock.json"),
]) {
  stamp.update(file.slice(root.length)).update("\0").update(readFileSync(file)).update("\0");
}
const digest = stamp.digest("hex");
if (
  process.argv.includes("--if-changed") &&
  existsSync(stampFile) &&
  readFileSync(stampFile, "utf8") === digest
)
  process.exit(0);

const started = performance.now();
// What a plugin made in this checkout imports from the SDK in its own tests, and its types.
const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
const sdk = once(spawn(process.execPath, [tsc, "-b", "plugin-sdk"], { cwd: root, stdio: "inherit" }), "exit");
const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));

/** Evaluates `*.schema.ts` now, so that typebox is never loaded by a running gateway. */
const inlineSchemas = {
  name: "inline-schemas",
  setup(build) {
    build.onLoad({ filter: /\.schema\.ts$/ }, async ({ path: file }) => {
      const { outputFiles } = await esbuild.build({
        entryPoints: [file],
        bundle: true,
        write: false,
        format: "esm",
        platform: "node",
        packages: "external",
        logLevel: "silent",
      });
      const temp = path.join(
        root,
        "node_modules",
        `.schema-${createHash("sha1").update(file).digest("hex")}.mjs`,
      );
      writeFileSync(temp, outputFiles[0].text);
      try {
        const exports = await import(`${pathToFileURL(temp).href}?${digest}`);
        const contents = Object.entries(exports)
          .map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};`)
          .join("\n");
        return { contents, loader: "js" };
      } finally {
        rmSync(temp, { force: true });
      }
    });
  },
};

/** The SDK is bundled from its source, so that a build needs no build before it. */
const sdkFromSource = {
  name: "sdk-from-source",
  setup(build) {
    build.onResolve({ filter: /^@rclaw\/plugin-sdk(\/|$)/ }, ({ path: target }) => {
      const sub = target.slice("@rclaw/plugin-sdk".length + 1);
      const file = sub === "" ? "index.ts" : sub === "testing" ? "testing/index.ts" : `${sub}.ts`;
      return { path: path.join(root, "plugin-sdk", file) };
    });
  },
};

/**
 * Parts of packages that this program never reaches, by what imports them. They would be
 * read at every start or, in HTTP's chunk, be four fifths of it.
 */
const unreached = [
  // pino's own destinations, which are threads and file descriptors: the log has a destination of its own.
  {
    from: /node_modules\/pino\//,
    what: /^(?:thread-stream|sonic-boom|worker_threads|\.\/(?:lib\/)?transport)$/,
  },
  { from: /node_modules\/ws\/wrapper\.mjs$/, what: /^\.\/lib\/stream\.js$/ },
  // fastify gets compilers and no logger from us.
  {
    from: /node_modules\/fastify\//,
    what: /^(?:@fastify\/(?:ajv|fast-json-stringify)-compiler|light-my-request|\.\/logger-pino\.js)$/,
  },
];
/** A client's TLS: needed for wss:, which the command line seldom speaks. */
const seldom = { from: /node_modules\/ws\/lib\/websocket\.js$/, what: /^(?:https|tls)$/ };
const leaveOut = {
  name: "leave-out",
  setup(build) {
    build.onResolve({ filter: /.*/ }, ({ path: target, importer }) => {
      const fits = ({ from, what }) => from.test(importer) && what.test(target);
      if (fits(seldom)) return { path: target, namespace: "seldom" };
      return unreached.some(fits) ? { path: target, namespace: "unreached" } : undefined;
    });
    build.onLoad({ filter: /.*/, namespace: "unreached" }, ({ path: target }) => ({
      contents: `module.exports = function () { throw new Error(${JSON.stringify(`${target} is left out of the bundle, see scripts/build.mjs`)}); };`,
    }));
    build.onLoad({ filter: /.*/, namespace: "seldom" }, ({ path: target }) => ({
      contents: `module.exports = new Proxy({}, { get: (_target, name) => require("node:${target}")[name] });`,
    }));
  },
};

/**
 * The generator that transpiles components is WASM itself. It gets the shim of the browser, which has a file
 * system in memory and nothing of the machine.
 */
const generator = path.join(root, "node_modules/@bytecodealliance/jco-transpile");
const generatorShim = {
  name: "generator-shim",
  setup(build) {
    const shim = path.join(generator, "node_modules/@bytecodealliance/preview2-shim/dist/browser");
    build.onResolve({ filter: /^@bytecodealliance\/preview2-shim\// }, ({ path: target }) => ({
      path: path.join(shim, `${path.basename(target)}.js`),
    }));
  },
};
const transpiler = "plugins/services/lanes/transpile-child";

/** Every dynamic import is a chunk of its own, next to the file it was written in. */
const chunks = new Map();
const splitDynamicImports = {
  name: "split-dynamic-imports",
  setup(build) {
    build.onResolve({ filter: /.*/ }, async ({ kind, path: target, importer, resolveDir, pluginData }) => {
      if (kind !== "dynamic-import" || pluginData === "resolving" || target.startsWith("node:"))
        return undefined;
      if (importer.includes(`${path.sep}node_modules${path.sep}`)) return undefined;
      const resolved = await build.resolve(target, {
        kind: "import-statement",
        resolveDir,
        pluginData: "resolving",
      });
      if (resolved.errors.length > 0) return { errors: resolved.errors };
      const out = target.startsWith(".")
        ? path.relative(root, resolved.path).replace(/\.[cm]?[jt]s$/, ".cjs")
        : `vendor/${target.replaceAll("/", "-").replace("@", "")}.cjs`;
      if (!chunks.has(out)) chunks.set(out, resolved.path);
      return { path: `rclaw-chunk:${out}`, external: true };
    });
  },
};

// json5's `module` build drags nothing in; grammY's web build is the one without node-fetch.
const options = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  // Identifiers keep their names: a stack trace of a bundle must be readable, and keepNames would cost every closure a call.
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: true,
  sourcesContent: false,
  legalComments: "none",
  write: false,
  logLevel: "warning",
  absWorkingDir: root,
  // Optional natives of ws and friends: never installed, so never looked for.
  external: ["bufferutil", "utf-8-validate", "@napi-rs/nice"],
  define: {
    "process.env.RCLAW_VERSION": JSON.stringify(version),
    "import.meta.dirname": "__dirname",
    "import.meta.filename": "__filename",
  },
  plugins: [generatorShim, leaveOut, sdkFromSource, inlineSchemas, splitDynamicImports],
};

const json5 = (await import("json5")).default;
const manifests = filesIn("manifests").filter((file) => file.endsWith(".json5"));
const allGuests = manifests
  .map((file) => json5.parse(readFileSync(file, "utf8")).entry)
  .filter((entry) => typeof entry === "string" && entry.endsWith(".wasm"))
  .map((entry) => path.join(root, entry));
const entries = new Map([["rclaw.cjs", path.join(root, "kernel/main.ts")]]);
const parsed = manifests
  .map((file) => ({ ...json5.parse(readFileSync(file, "utf8")), file }))
  .filter((manifest) => !isLeftOut(manifest));
/** A plugin that is a component as well has two entries, and its script is one of them. */
const scriptOf = ({ entry }) => (typeof entry === "string" ? entry : entry.js);
/** A guest whose recipe is `optional` is part of the product where somebody has built it; the package is too small for it. */
function isLeftOut({ id, entry }) {
  if (typeof entry !== "string" || !entry.endsWith(".wasm")) return false;
  const { optional, needs } = recipeOf(path.join(root, path.dirname(entry)));
  if (!optional || (existsSync(path.join(root, entry)) && !forPackage)) return false;
  console.error(
    forPackage
      ? `The optional plugin ${id} is left out of the package, for which it is too large`
      : `The optional plugin ${id} is left out: it is made with ${needs}, by node scripts/guests.mjs ${id}`,
  );
  return true;
}
const asBuilt = (entry) => entry.replace(/\.js$/, ".cjs");
for (const manifest of parsed) {
  const script = scriptOf(manifest);
  // A guest in another language is built apart, by scripts/guests.mjs, and only copied.
  if (!script.endsWith(".wasm"))
    entries.set(asBuilt(script), path.join(root, script.replace(/\.js$/, ".ts")));
}
// Threads and child processes start at files of their own.
for (const file of filesIn("plugins").filter((name) => /\.(?:worker|child)\.ts$/.test(name))) {
  const out = path.relative(root, file).split(path.sep).join("/").replace(/\.ts$/, ".cjs");
  entries.set(out, file);
}
// piscina looks for its thread beside itself.
entries.set("vendor/worker.js", path.join(root, "node_modules/piscina/dist/worker.js"));
for (const script of readdirSync(path.join(root, "scripts")).filter((file) => file.endsWith(".ts"))) {
  entries.set(`scripts/${script.replace(/\.ts$/, ".cjs")}`, path.join(root, "scripts", script));
}
entries.set(`${transpiler}.cjs`, path.join(root, `${transpiler}.ts`));

/**
 * Turns `import("literal")` into a late `require`. A real one would start Node's ESM loader,
 * which reads each CommonJS file twice, once only to guess the names of its exports:
 * 100 ms and 8 MB at start. A chunk is found relative to the file that asks for it.
 */
function requireChunks(code, folder) {
  return code.replaceAll(/\bimport\("([^"]+)"\)/g, (_match, target) => {
    const chunk = /^rclaw-chunk:(.*)$/.exec(target)?.[1];
    const relative = chunk === undefined ? target : path.posix.relative(folder, chunk);
    const file = chunk === undefined || relative.startsWith(".") ? relative : `./${relative}`;
    // What was not ESM before has itself as the default export, as import() would have it.
    return `Promise.resolve().then(()=>{const m=require("${file}");return m.__esModule?m:Object.create(m,{default:{value:m}})})`;
  });
}

// Built beside and swapped in: whoever starts meanwhile finds the old files or the new ones, never half of them.
const staging = `${dist}.new-${process.pid}`;
// A build that fails leaves nothing; after one that went well it is not there any more.
process.once("exit", () => rmSync(staging, { recursive: true, force: true }));
const done = new Set();
const bundle = async (out, file) => {
  done.add(out);
  const outfile = path.join(staging, out);
  const result = await esbuild.build({
    ...options,
    entryPoints: [file],
    outfile,
    ...(out === "rclaw.cjs" && {
      banner: { js: "#!/usr/bin/env -S MALLOC_MMAP_THRESHOLD_=32768 node --max-semi-space-size=1" },
    }),
    // It finds its WASM files beside itself.
    ...(out === `${transpiler}.cjs` && {
      define: { ...options.define, "import.meta.url": "ownUrl" },
      banner: { js: 'const ownUrl=require("node:url").pathToFileURL(__filename).href;' },
    }),
  });
  mkdirSync(path.dirname(outfile), { recursive: true });
  for (const { path: target, text } of result.outputFiles) {
    const linked = target.endsWith(".cjs") ? requireChunks(text, path.posix.dirname(out)) : text;
    writeFileSync(target, linked);
  }
};
await Promise.all([...entries].map(([out, file]) => bundle(out, file)));
for (;;) {
  const rest = [...chunks].filter(([out]) => !done.has(out));
  if (rest.length === 0) break;
  await Promise.all(rest.map(([out, file]) => bundle(out, file)));
}

for (const file of readdirSync(path.join(generator, "vendor")))
  if (/^js-component-bindgen-component\.core\d*\.wasm$/.test(file))
    copyFileSync(path.join(generator, "vendor", file), path.join(staging, path.dirname(transpiler), file));
chmodSync(path.join(staging, "rclaw.cjs"), 0o755);
// dist/ holds CommonJS inside a package of type "module".
writeFileSync(path.join(staging, "package.json"), '{ "type": "commonjs" }\n');
await buildComponents({ manifests: parsed, staging, plugins: [sdkFromSource, inlineSchemas] });
const index = parsed.map(({ file, entry, ...manifest }) => ({
  ...manifest,
  file: path.relative(root, file),
  entry: typeof entry === "string" ? asBuilt(entry) : { ...entry, js: asBuilt(entry.js) },
}));
writeFileSync(path.join(staging, "manifests.json"), JSON.stringify(index));

/** A page arrives in few files, however many modules it was written as: those that its HTML names, with all they import. */
async function bundlePage(folder) {
  const named = readFileSync(path.join(folder, "index.html"), "utf8").matchAll(
    /(?:src|href)="[\w/]*\/(\w+\.(?:js|css))"/g,
  );
  await esbuild.build({
    entryPoints: [...named].map(([, file]) => path.join(folder, file)),
    outdir: path.join(staging, path.relative(root, folder)),
    bundle: true,
    minify: true,
    format: "esm",
    target: ["chrome123", "firefox121", "safari17.5"],
    logLevel: "warning",
  });
}

const isSourceOfGuest = (file) =>
  allGuests.some(
    (guest) =>
      file.startsWith(path.dirname(guest) + path.sep) &&
      (file !== guest || !parsed.some(({ entry }) => path.join(root, String(entry)) === guest)),
  );
const assets = filesIn("plugins").filter((file) => !file.endsWith(".ts") && !isSourceOfGuest(file));
for (const file of assets.filter((asset) => path.basename(asset) === "index.html"))
  await bundlePage(path.dirname(file));
for (const file of assets.filter((asset) => !/\.(?:js|css)$/.test(asset))) {
  const target = path.join(staging, path.relative(root, file));
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, readFileSync(file));
}
// What authors build with: the SDK's sources, the contract, and the templates.
const forAuthors = [
  ...filesIn("plugin-sdk").filter((file) => {
    const below = path.relative(path.join(root, "plugin-sdk"), file);
    return below.startsWith("templates") || (below.endsWith(".ts") && !below.startsWith("testing"));
  }),
  ...filesIn("wit"),
];
for (const file of forAuthors) {
  const target = path.join(staging, path.relative(root, file));
  mkdirSync(path.dirname(target), { recursive: true });
  copyFileSync(file, target);
}
if ((await sdk)[0] !== 0) {
  // The compiler is not there for every machine that the gateway runs on; only authors of plugins need what it makes.
  if (forPackage) throw new Error("the SDK does not compile");
  console.error("The SDK was not compiled: tests of plugins made in this checkout will not find it.");
}
writeFileSync(path.join(staging, path.basename(stampFile)), digest);
const old = `${dist}.old-${process.pid}`;
if (existsSync(dist)) renameSync(dist, old);
renameSync(staging, dist);
rmSync(old, { recursive: true, force: true });
console.error(`Built ${done.size} files in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
