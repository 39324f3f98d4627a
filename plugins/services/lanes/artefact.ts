import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { checkAnswer } from "@rclaw/plugin-sdk/boundary/answers";
import type { Offer } from "@rclaw/plugin-sdk/boundary/calls";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { builtEntry, shippedFolder } from "./built.ts";
import { hashFile } from "./file-hash.ts";
import { kindOf } from "./wasm-reader.ts";
import type { Program } from "./load.ts";
import { forgetTranspiled, importsAllowed, transpile } from "./transpile.ts";

export interface Artefact {
  /** What it was made of. */
  readonly found: FoundManifest;
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
  /** Told when something was made of a file that is kept, by the file's hash. */
  onMade(hash: string): Promise<void>;
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
    return { found, hash, blocks: false, program: () => Promise.resolve({ kind: "js", entry: file }) };
  const kind = kindOf(head);
  return {
    found,
    hash,
    blocks: kind === "module",
    async program(signal) {
      // Looked at again: a plugin that sleeps keeps nothing in memory.
      await options.verify(found, file);
      if (kind === "module") return { kind: "core", file };
      const now = await look(id, file);
      const named = (error: unknown): never => {
        if (!isRclawError(error)) throw error;
        throw new RclawError(error.code, `plugin "${id}": ${error.message}`, { cause: error });
      };
      return componentProgram(file, now.hash, options, signal).catch(named);
    },
  };
}

/** Its hash and its first bytes. */
async function look(id: string, file: string): Promise<{ hash: string; head: Uint8Array }> {
  return hashFile(file).catch((error: unknown) => {
    throw unreadable(id, file, error);
  });
}

const unreadable = (id: string, file: string, cause: unknown): RclawError =>
  new RclawError("UNAVAILABLE", `plugin "${id}": ${file} cannot be read; install it again`, { cause });

const unbuilt = (id: string, cause: unknown): RclawError =>
  new RclawError(
    "UNAVAILABLE",
    `plugin "${id}" ships without its artefact, or is not built; node scripts/guests.mjs ${id} and node scripts/build.mjs build it from source`,
    { cause },
  );

async function componentProgram(
  file: string,
  sha256: string,
  { found, cacheFolder, onMade }: ArtefactOptions,
  signal: AbortSignal,
): Promise<Program> {
  const source = { sha256, bytes: () => readFile(file) };
  const { folder, script, imports, world, version } = await transpile(
    source,
    componentsIn(cacheFolder),
    signal,
    { onMade: () => onMade(sha256) },
  );
  importsAllowed(imports, found.manifest);
  return { kind: "component", folder, script, world, version };
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
