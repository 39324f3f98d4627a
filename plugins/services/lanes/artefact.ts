import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { checkAnswer } from "@rclaw/plugin-sdk/boundary/answers";
import type { Offer } from "@rclaw/plugin-sdk/boundary/calls";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { builtEntry, shippedFolder } from "./built.ts";
import { boundModule, boundModules } from "./limits.ts";
import { kindOf } from "./wasm-reader.ts";
import type { Program } from "./load.ts";
import { forgetTranspiled, importsAllowed, transpile } from "./transpile.ts";

export interface Artefact {
  /** SHA-256 of the entry file, in hex. */
  readonly hash: string;
  /** How the guest waits: a blocking one stands still while the host works for it. */
  readonly blocks: boolean;
  program(signal: AbortSignal): Promise<Program>;
}

export interface ArtefactOptions {
  readonly found: FoundManifest;
  readonly runtime: "worker" | "wasm";
  readonly limits: LaneLimits;
  readonly cacheFolder: string;
  /** Throws when the file is not the one that was installed. */
  verify(found: FoundManifest, file: string): Promise<void>;
}

/** The file that a plugin runs from. It is read for its hash; what runs is made from it when it is needed. */
export async function openArtefact(options: ArtefactOptions): Promise<Artefact> {
  const { found, runtime } = options;
  const { id } = found.manifest;
  const named = runtime === "worker" ? found.entry : (found.wasm ?? found.entry);
  const file = found.builtIn ? builtEntry(named) : named;
  await options.verify(found, file);
  const { hash, head } = await look(id, file).catch((error: unknown) => {
    throw found.builtIn ? unbuilt(id, error) : error;
  });
  if (runtime === "worker")
    return { hash, blocks: false, program: () => Promise.resolve({ kind: "js", entry: file }) };
  const kind = kindOf(head);
  return {
    hash,
    blocks: kind === "module",
    async program(signal) {
      // Read again: a plugin that sleeps keeps nothing in memory.
      await options.verify(found, file);
      const now = await readEntry(id, file);
      const named = (error: unknown): never => {
        if (!isRclawError(error)) throw error;
        throw new RclawError(error.code, `plugin "${id}": ${error.message}`, { cause: error });
      };
      return kind === "module"
        ? coreProgram(now, options.limits).catch(named)
        : componentProgram(now, options, signal).catch(named);
    },
  };
}

/** Its hash and its first bytes, without holding all of it: twenty plugins of two megabytes each are looked at in a row. */
export async function look(id: string, file: string): Promise<{ hash: string; head: Uint8Array }> {
  const hash = createHash("sha256");
  let head: Uint8Array = new Uint8Array();
  try {
    for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) {
      if (head.length === 0) head = Uint8Array.from(piece.subarray(0, 64));
      hash.update(piece);
    }
  } catch (error) {
    throw unreadable(id, file, error);
  }
  return { hash: hash.digest("hex"), head };
}

const unreadable = (id: string, file: string, cause: unknown): RclawError =>
  new RclawError("UNAVAILABLE", `plugin "${id}": ${file} cannot be read; install it again`, { cause });

const unbuilt = (id: string, cause: unknown): RclawError =>
  new RclawError(
    "UNAVAILABLE",
    `plugin "${id}" ships without its artefact, or is not built; node scripts/guests.mjs ${id} and node scripts/build.mjs build it from source`,
    { cause },
  );

async function readEntry(id: string, file: string): Promise<Uint8Array> {
  return readFile(file).catch((error: unknown) => {
    throw unreadable(id, file, error);
  });
}

async function coreProgram(bytes: Uint8Array, limits: LaneLimits): Promise<Program> {
  const module = await compile(boundModule(bytes, limits));
  return { kind: "core", module };
}

async function componentProgram(
  bytes: Uint8Array,
  { found, limits, cacheFolder }: ArtefactOptions,
  signal: AbortSignal,
): Promise<Program> {
  const { folder, script, imports, world, version } = await transpile(
    bytes,
    componentsIn(cacheFolder),
    signal,
  );
  importsAllowed(imports, found.manifest);
  const cores = await coresOf(folder);
  const bounded = boundModules(
    cores.map((core) => core.bytes),
    { ...limits, internal: true },
  );
  const modules: Record<string, WebAssembly.Module> = {};
  for (const [index, { name }] of cores.entries())
    modules[name] = await compile(bounded[index] ?? new Uint8Array());
  return { kind: "component", script, modules, world, version };
}

async function coresOf(folder: string) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".wasm"));
  return Promise.all(names.map(async (name) => ({ name, bytes: await readFile(path.join(folder, name)) })));
}

// Engines before V8 12 compile what QuickJS guests are made of only when told to.
if (Number(process.versions.node.split(".")[0]) < 22)
  setFlagsFromString("--experimental-wasm-extended-const");

/** Modules that live somewhere, by the hash of their bytes: many plugins, one engine, one compilation. */
const compiled = new Map<string, WeakRef<WebAssembly.Module>>();

async function compile(bytes: Uint8Array): Promise<WebAssembly.Module> {
  const hash = createHash("sha256").update(bytes).digest("base64");
  const known = compiled.get(hash)?.deref();
  if (known) return known;
  for (const [key, module] of compiled) if (!module.deref()) compiled.delete(key);
  try {
    const module = await WebAssembly.compile(bytes);
    compiled.set(hash, new WeakRef(module));
    return module;
  } catch (error) {
    throw new RclawError("ARTEFACT_REFUSED", `it is no valid WebAssembly: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

const componentsIn = (cacheFolder: string): string => path.join(cacheFolder, "components");

/** Whatever was remembered about one artefact. */
export async function forgetArtefact(hash: string, cacheFolder: string): Promise<void> {
  await forgetTranspiled(hash, componentsIn(cacheFolder));
  const folder = path.join(cacheFolder, "offers");
  const names = await readdir(folder).catch(() => []);
  for (const name of names)
    if (name.startsWith(hash.slice(0, 32))) await rm(path.join(folder, name), { force: true });
}

/**
 * What plugins offered, by artefact and settings: schemas are known without loading anything. Of a component
 * that ships with rclaw the build has asked already.
 */
export function createOffers(cacheFolder: string, shipped = shippedFolder()) {
  const nameOf = (hash: string, config: unknown): string => {
    const settings = createHash("sha256")
      .update(JSON.stringify(config ?? null))
      .digest("hex");
    return path.join("offers", `${hash.slice(0, 32)}-${settings.slice(0, 16)}.json`);
  };
  return {
    async find(id: string, hash: string, config: unknown): Promise<Offer | undefined> {
      for (const folder of [cacheFolder, shipped]) {
        try {
          const offer: unknown = JSON.parse(await readFile(path.join(folder, nameOf(hash, config)), "utf8"));
          checkAnswer(id, "activate", offer);
          return offer as Offer;
        } catch {
          // A cache that cannot be read is made anew.
        }
      }
      return undefined;
    },
    async keep(hash: string, config: unknown, offer: Offer): Promise<void> {
      const file = path.join(cacheFolder, nameOf(hash, config));
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      await writeAtomic(file, JSON.stringify(offer));
    },
  };
}
