import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { builtFile, shippedFolder } from "./built.ts";
import { hashFile } from "./file-hash.ts";
import { abiOf, adapterFor, contract, versionOf } from "./versions.ts";

/** Raised whenever the generator or its options change: what it made before is made anew. */
const generation = "1";
const limits = { componentBytes: 64 * 1024 * 1024, heapMiB: 512, ms: 60_000 } as const;

type World = "reactor-plugin" | "tool-plugin" | "hook-plugin" | "tool-and-hook-plugin";

/** A component as JavaScript and core modules, in a folder of the cache. */
export interface Transpiled {
  readonly folder: string;
  /** The JavaScript that instantiates the modules beside it. */
  readonly script: string;
  /** What it wants from its host, such as `rclaw:plugin/clock`. */
  readonly imports: readonly string[];
  readonly exports: readonly string[];
  readonly world: World;
  /** Of the contract it was built for. */
  readonly version: string;
}

interface CacheRecord {
  readonly files: Readonly<Record<string, string>>;
  readonly imports: readonly string[];
  readonly exports: readonly string[];
}

export interface TranspileOptions {
  /** The program that does it; a file of its own beside this one in the product. */
  readonly child?: string;
  readonly ms?: number;
  /** Looked into first: what the build has transpiled needs no process on this machine. */
  readonly shipped?: string;
  /** Told when it was not there before. */
  onMade?(): Promise<void>;
}

const recordFile = "transpiled.json";
const hash = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

const nameOf = (sha256: string): string => hash(`${generation}\n${sha256}`);

/** What was made of a component goes, when the component does. */
export async function forgetTranspiled(sha256: string, cacheFolder: string): Promise<void> {
  await rm(path.join(cacheFolder, nameOf(sha256)), { recursive: true, force: true });
}

/** A component that is only read when nothing was made of it before. */
export interface ComponentSource {
  /** In hex. */
  readonly sha256: string;
  bytes(): Promise<Uint8Array>;
}

/** Transpiles a component, or finds what was made of the same bytes before. */
export async function transpile(
  source: ComponentSource,
  cacheFolder: string,
  signal: AbortSignal,
  {
    child = builtFile("transpile-child.cjs"),
    ms = limits.ms,
    shipped = shippedFolder(),
    onMade,
  }: TranspileOptions = {},
): Promise<Transpiled> {
  const name = nameOf(source.sha256);
  const folder = path.join(cacheFolder, name);
  const found = (await load(path.join(shipped, name))) ?? (await load(folder));
  if (found) return found;
  const bytes = await source.bytes();
  if (bytes.length > limits.componentBytes)
    throw refused(`it has ${bytes.length} bytes, more than ${limits.componentBytes} are not taken`);
  if (hash(bytes) !== source.sha256) throw refused("it was changed this moment; try again");
  await mkdir(cacheFolder, { recursive: true });
  const staging = `${folder}.new-${randomUUID()}`;
  await mkdir(staging);
  try {
    await writeRecord(
      staging,
      await run(child, staging, bytes, AbortSignal.any([signal, AbortSignal.timeout(ms)])),
    );
    // Whatever stands there was found to be damaged, or was finished by somebody else this moment.
    await rm(folder, { recursive: true, force: true });
    await rename(staging, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  await onMade?.();
  const made = await load(folder);
  if (!made)
    throw new RclawError("UNAVAILABLE", `what was written to ${folder} is not there; is the disk full?`);
  return made;
}

const refused = (why: string): RclawError =>
  new RclawError("ARTEFACT_REFUSED", `this is no component that rclaw can run: ${why}`);

interface Summary {
  readonly files: readonly string[];
  readonly imports: readonly string[];
  readonly exports: readonly string[];
}

async function run(child: string, folder: string, bytes: Uint8Array, signal: AbortSignal): Promise<Summary> {
  const running = spawn(process.execPath, [`--max-old-space-size=${limits.heapMiB}`, child, folder], {
    env: {},
    stdio: ["pipe", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    running.on("error", reject);
    running.on("close", resolve);
  });
  // It may end before it has read everything.
  running.stdin.on("error", () => {});
  running.stdin.end(bytes);
  try {
    const [code, out, errors] = await Promise.all([ended, buffer(running.stdout), buffer(running.stderr)]);
    if (code === 0) return JSON.parse(out.toString()) as Summary;
    const why = errors.toString().trim().split("\n").at(-1) ?? "";
    throw refused(why === "" ? `transpiling it ended with ${code}` : why.slice(0, 500));
  } catch (error) {
    if (!signal.aborted) throw error;
    if ((signal.reason as Error).name === "TimeoutError")
      throw new RclawError("ARTEFACT_REFUSED", "transpiling the component took too long; it may be hostile", {
        cause: error,
      });
    throw new RclawError("ABORTED", "transpiling the component was aborted", { cause: error });
  }
}

/** Names through which JavaScript reaches the machine. What is generated has none of them. */
const ambient =
  /^\s*import\b|\bimport\s*\(|\brequire\s*\(|\beval\s*\(|\bFunction\s*\(|\bprocess\b(?!\?\.env\?\.JCO_DEBUG)\s*[?.[]|["'`]node:/m;

async function writeRecord(folder: string, { files, imports, exports }: Summary): Promise<void> {
  const glue = await readFile(path.join(folder, "guest.js"), "utf8");
  const odd = ambient.exec(glue);
  if (odd) throw refused(`its interface would put ${JSON.stringify(odd[0])} into generated code`);
  await rename(path.join(folder, "guest.js"), path.join(folder, "guest.mjs"));
  const hashes: Record<string, string> = {};
  for (const name of files.map((file) => file.replace(/\.js$/, ".mjs")))
    hashes[name] = (await hashFile(path.join(folder, name))).hash;
  const record: CacheRecord = { files: hashes, imports, exports };
  const text = JSON.stringify(record);
  await writeFile(path.join(folder, recordFile), JSON.stringify({ sha256: hash(text), record: text }));
}

/** What the cache holds, if it is whole. */
async function load(folder: string): Promise<Transpiled | undefined> {
  let record: CacheRecord;
  try {
    const outer = JSON.parse(await readFile(path.join(folder, recordFile), "utf8")) as {
      sha256: string;
      record: string;
    };
    if (hash(outer.record) !== outer.sha256) return undefined;
    record = JSON.parse(outer.record) as CacheRecord;
    const names = Object.keys(record.files);
    if ((await readdir(folder)).length !== names.length + 1) return undefined;
    for (const name of names)
      if ((await hashFile(path.join(folder, name))).hash !== record.files[name]) return undefined;
  } catch {
    return undefined;
  }
  const { imports, exports } = record;
  return {
    folder,
    script: path.join(folder, "guest.mjs"),
    imports,
    exports,
    world: worldOf(exports),
    version: versionOf(exports) ?? contract.version,
  };
}

function worldOf(exports: readonly string[]): World {
  const has = (name: string): boolean => exports.some((each) => each.startsWith(`rclaw:plugin/${name}@`));
  if (has("reactor")) return "reactor-plugin";
  if (has("guest") && has("tool") && has("hook")) return "tool-and-hook-plugin";
  if (has("guest") && has("tool")) return "tool-plugin";
  if (has("guest") && has("hook")) return "hook-plugin";
  throw refused(
    `it exports ${exports.join(", ") || "nothing"}; build it for a world of package ${abiOf(contract)}, such as reactor-plugin or tool-plugin`,
  );
}

/** What a component may import without a grant; the rest with the line that grants it. */
const free = new Set(["types", "log", "clock", "storage", "files", "host", "channel-data", "provider-data"]);
const granted: Readonly<
  Record<string, { readonly key: "net" | "secrets" | "tools"; readonly line: string }>
> = {
  http: { key: "net", line: 'permissions: { net: ["api.example.org"] }' },
  secrets: { key: "secrets", line: 'permissions: { secrets: ["<name>"] }' },
  tools: { key: "tools", line: 'permissions: { tools: ["<name>"] }' },
};

/** Throws ARTEFACT_REFUSED when a component imports what its manifest does not grant, or what there is not. */
export function importsAllowed(
  imports: readonly string[],
  { permissions = {} }: Pick<Manifest, "permissions">,
): void {
  for (const name of imports) {
    const [, local = "", version] = /^rclaw:plugin\/([a-z-]+)(?:@(.+))?$/.exec(name) ?? [];
    if (version !== undefined) adapterFor(version, "the component");
    if (free.has(local)) continue;
    const grant = Object.hasOwn(granted, local) ? granted[local] : undefined;
    if (!grant)
      throw refused(
        `it imports ${name}, which no plugin is given. Build it for a world of ${abiOf(contract)}, without WASI (with componentize-qjs: stubWasi, with componentize-py: --stub-wasi)`,
      );
    if ((permissions[grant.key]?.length ?? 0) === 0)
      throw refused(`it imports ${name}, which its manifest does not grant; add ${grant.line}`);
  }
}
