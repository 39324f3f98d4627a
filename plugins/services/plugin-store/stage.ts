import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Finding, StageOptions, Staged, StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import { digestOf, hashFolder, readRegular } from "./digest.ts";
import { checkIntegrity, download, lookUp } from "./download.ts";
import { findingsOf } from "./findings.ts";
import { manifestName, pluginsFolder, signatureName, stagingFolder, stagingName } from "./layout.ts";
import { limits } from "./limits.ts";
import { entriesOf, manifestOf, readManifest, requireManifest } from "./manifest.ts";
import { segmentsOf } from "./names.ts";
import { packageJson, selectFiles } from "./selection.ts";
import { readSignature } from "./signature.ts";
import { type Source, sourceOf } from "./source.ts";
import { codeOf, own, quoted, shown } from "./text.ts";
import { orDegraded } from "./turn.ts";
import { makeFolder, unpack, writeNew } from "./unpack.ts";
import { isWasm, manifestSection } from "./wasm-section.ts";

/** What a source brought, before anything of it is judged. */
interface Brought {
  readonly source: string;
  readonly findings: readonly Finding[];
  /** What the registry calls the version. */
  readonly version?: string;
}

/** Brings a package into a staging folder of its own and checks it. What is refused leaves nothing behind. */
export async function stage(ports: StorePorts, text: string, options: StageOptions): Promise<Staged> {
  const source = sourceOf(text);
  ports.signal?.throwIfAborted();
  const place = path.join(stagingFolder(ports.stateDir), await stagingName());
  try {
    await makePlace(ports.stateDir, place);
    const folder = path.join(place, "package");
    await makeFolder(folder);
    const brought = await bring(ports, source, folder, options);
    const root = await rootOf(folder);
    await requireManifest(root, text);
    if (root !== folder) {
      await rename(root, path.join(place, "content"));
      await rm(folder, { recursive: true, force: true });
      await rename(path.join(place, "content"), folder);
    }
    return await judge(ports, folder, brought, options);
  } catch (error) {
    await rm(place, { recursive: true, force: true }).catch(() => undefined);
    throw orDegraded(error, ports.stateDir);
  }
}

async function makePlace(stateDir: string, place: string, attempts = 3): Promise<void> {
  // One by one: a mode holds only for the folder that is made.
  await mkdir(pluginsFolder(stateDir), { recursive: true, mode: 0o700 });
  await mkdir(stagingFolder(stateDir), { recursive: true, mode: 0o700 });
  try {
    await mkdir(place, { mode: 0o700 });
  } catch (error) {
    // Somebody who removed the last plugin has taken the empty folder away in between.
    if (codeOf(error) !== "ENOENT" || attempts <= 1) throw error;
    await makePlace(stateDir, place, attempts - 1);
  }
}

/** Npm puts everything below `package/`, others below a name of their own, some below nothing. */
async function rootOf(folder: string): Promise<string> {
  const names = await readdir(folder, { withFileTypes: true });
  const [only] = names;
  return names.length === 1 && only?.isDirectory() ? path.join(folder, only.name) : folder;
}

async function bring(
  ports: StorePorts,
  source: Source,
  folder: string,
  options: StageOptions,
): Promise<Brought> {
  if (source.kind === "npm") {
    const release = await lookUp(ports, options.registry, source.name, source.version);
    const named = `${source.name}@${release.version}`;
    const what = `package ${quoted(named)}`;
    const packed = await download(ports, release.tarball, { what });
    checkIntegrity(packed, release.integrity, what);
    await unpack(packed, folder, ports);
    const said = release.deprecated;
    const findings: Finding[] =
      said === undefined
        ? []
        : [{ id: "deprecated", level: "warning", message: `its author says: ${shown(said)}` }];
    return { source: `npm:${named}`, findings, version: release.version };
  }
  if (source.kind === "url") {
    const packed = await download(ports, source.url, { what: `package at ${quoted(source.url.host)}` });
    await unpack(packed, folder, ports);
    return { source: source.url.href, findings: [] };
  }
  // As a place: an update is asked for from anywhere, and must not bring what is called the same there.
  const place = path.resolve(options.baseDir, source.path);
  await bringPath(ports, source.path, place, folder);
  return { source: place, findings: [] };
}

async function bringPath(ports: StorePorts, given: string, file: string, folder: string): Promise<void> {
  const stats = await lstat(file).catch((error: unknown) => {
    throw new RclawError(
      "NOT_FOUND",
      `${quoted(given)} ${codeOf(error) === "ENOENT" ? "is not there" : "cannot be read"}`,
      { cause: error },
    );
  });
  if (stats.isDirectory()) return copyFolder(ports, file, folder, given);
  if (/\.wasm$/i.test(file)) return copyWasm(file, folder, given);
  if (/\.(?:tgz|tar\.gz)$/i.test(file))
    return unpack(await readRegular(file, limits.packedBytes), folder, ports);
  throw new RclawError(
    "INVALID_REQUEST",
    `${quoted(given)} is no folder, .tgz or .wasm file, which is what a plugin can come in`,
  );
}

/** The same files that packing it would take, so that both give the same digest. */
async function copyFolder(ports: StorePorts, from: string, folder: string, given: string): Promise<void> {
  await requireManifest(from, given);
  const files = await selectFiles(from);
  for (const [at, { path: file, content }] of files.entries()) {
    ports.signal?.throwIfAborted();
    const target = path.join(folder, ...file.split("/"));
    await makeFolder(path.dirname(target));
    await writeNew(target, content);
    ports.progress?.({ phase: "unpack", done: at + 1, total: files.length });
  }
}

/** A lone .wasm file: its manifest stands beside it, or in a section of it. */
async function copyWasm(file: string, folder: string, given: string): Promise<void> {
  const bytes = await readRegular(file, limits.unpackedBytes);
  if (!isWasm(bytes)) throw new RclawError("INVALID_REQUEST", `${quoted(given)} is no WebAssembly`);
  const base = path.basename(file);
  const beside = [path.join(path.dirname(file), base.replace(/\.wasm$/i, ".json5"))].concat(
    path.join(path.dirname(file), manifestName),
  );
  let text = manifestSection(bytes);
  for (const candidate of beside)
    if (await lstat(candidate).catch(() => undefined)) {
      text = (await readRegular(candidate, limits.manifestBytes)).toString("utf8");
      break;
    }
  if (text === undefined)
    throw new RclawError(
      "MANIFEST_INVALID",
      `${quoted(given)} has no manifest: put one beside it (${quoted(base.replace(/\.wasm$/i, ".json5"))} or ${manifestName}), or into its custom section "rclaw.manifest"`,
    );
  // The file may be called otherwise than its author's build calls it.
  const entries = entriesOf(manifestOf(text, `the manifest of ${quoted(given)}`));
  const name = entries.find((entry) => /\.wasm$/i.test(entry)) ?? base;
  const target = path.join(folder, ...segmentsOf(name));
  await makeFolder(path.dirname(target));
  await writeNew(path.join(folder, manifestName), Buffer.from(text));
  await writeNew(target, bytes);
}

/** Everything that can be said of a package by itself; beside what is installed it is looked at by `inspect`. */
async function judge(
  ports: StorePorts,
  folder: string,
  brought: Brought,
  options: StageOptions,
): Promise<Staged> {
  const { builtIns, id: wanted } = options;
  const signatureFile = path.join(folder, signatureName);
  // It is about the files, so it is none of them.
  const signature = await readFileIfThere(signatureFile);
  await rm(signatureFile, { force: true });
  const { files, bytes } = await hashFolder(folder, ports, limits.unpackedBytes);
  const names = Object.keys(files);
  const manifest = await readManifest(folder, names, brought.source);
  const { id } = manifest;
  if (builtIns.some((known) => known.id === id))
    throw new RclawError(
      "CONFLICT",
      `${quoted(brought.source)} calls itself "${id}", and that is a part of rclaw, which nothing can replace. Nothing was installed`,
      { details: { plugin: id } },
    );
  if (wanted !== undefined && wanted !== id)
    throw new RclawError(
      "CONFLICT",
      `${quoted(brought.source)} is plugin "${id}", not "${wanted}". Nothing was installed; to have it as well: rclaw plugin add`,
      { details: { plugin: wanted } },
    );
  const data = await packageJson(folder).catch(() => undefined);
  const told = own(data, "version");
  const version = manifest.version ?? brought.version ?? (typeof told === "string" ? told : "0.0.0");
  if (!/^[\w.+-]{1,100}$/.test(version))
    throw new RclawError(
      "MANIFEST_INVALID",
      `${quoted(version)} of plugin "${id}" is no version; it should be like 1.0.0. Nothing was installed`,
      { details: { plugin: id } },
    );
  const findings = [...brought.findings, ...(await findingsOf(folder, names))];
  if (brought.version !== undefined && brought.version !== version)
    findings.push({
      id: "other-name",
      level: "note",
      message: `the registry calls this version ${shown(brought.version)}, its manifest ${shown(version)}`,
    });
  const digest = digestOf(files);
  const signed = signature === undefined ? undefined : readSignature(signature, files, id);
  refuseUnlike({ id, digest, fingerprint: signed?.signer.fingerprint }, options);
  return { id, version, source: brought.source, folder, manifest, digest, files, bytes, findings, ...signed };
}

/** An index speaks of one content: whoever chose by it wants no other. */
function refuseUnlike(
  { id, digest, fingerprint }: { id: string; digest: string; fingerprint: string | undefined },
  expected: Pick<StageOptions, "digest" | "signer">,
): void {
  const what =
    expected.digest !== undefined && expected.digest !== digest
      ? "has another digest"
      : expected.signer !== undefined && expected.signer !== fingerprint
        ? "was not signed by the key"
        : undefined;
  if (what !== undefined)
    throw new RclawError(
      "CONFLICT",
      `what was fetched of plugin "${id}" ${what} that the index names. Nothing was installed; the index is out of date, or the package was changed`,
      { details: { plugin: id, digest, ...(fingerprint !== undefined && { fingerprint }) } },
    );
}

async function readFileIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readRegular(file, limits.manifestBytes)).toString("utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Throws a staged package away. */
export async function discard({ folder }: Pick<Staged, "folder">): Promise<void> {
  await rm(path.dirname(folder), { recursive: true, force: true });
}
