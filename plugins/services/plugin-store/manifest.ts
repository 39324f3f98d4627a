import { lstat } from "node:fs/promises";
import path from "node:path";
import { type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { checkManifest } from "@rclaw/plugin-sdk/services/manifest-check";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import JSON5 from "json5";
import { readRegular } from "./digest.ts";
import { manifestName } from "./layout.ts";
import { limits } from "./limits.ts";
import { segmentsOf } from "./names.ts";
import { own, quoted } from "./text.ts";

const invalid = (reason: string, cause?: unknown): RclawError =>
  new RclawError("MANIFEST_INVALID", `${reason}. Nothing was installed`, { cause });

/** A manifest's text, checked as far as that is possible without the files beside it. */
export function manifestOf(text: string, from: string): Manifest {
  let raw: unknown;
  try {
    raw = JSON5.parse(text);
  } catch (error) {
    throw invalid(`${from}: ${(error as Error).message}`, error);
  }
  const manifest = checkManifest(raw, from);
  if (manifest.contributes.services)
    throw invalid(`${from}: contributes.services is only for what comes with rclaw`);
  const host = hostsOf(manifest.permissions).find(isTooWide);
  if (host !== undefined)
    throw invalid(
      `${from}: the host ${quoted(host)} stands for everything; name the hosts, or at most the part below a domain, such as "*.example.org"`,
    );
  return manifest;
}

/** Every host that `net` and `secrets` name, whichever way they are written. */
function hostsOf(permissions: unknown): string[] {
  const items = (key: string): readonly unknown[] => {
    const value = own(permissions, key);
    return Array.isArray(value) ? value : [];
  };
  const net = items("net").map((item) => (typeof item === "string" ? item : own(item, "host")));
  const bound = items("secrets").flatMap((item) => own(item, "hosts") ?? []);
  return [...net, ...bound].filter((host) => typeof host === "string");
}

/** `*`, `*.org`, `*:443`: a wildcard wants a domain of two labels behind it. */
function isTooWide(host: string): boolean {
  if (!host.includes("*") || host.startsWith("config:")) return false;
  return !/^\*\.[^.*:]+(?:\.[^.*:]+)+(?::\d+)?$/.test(host);
}

/** The files that a manifest's `entry` names: one, or one for each way to run it. */
export function entriesOf(manifest: unknown): readonly string[] {
  const entry = own(manifest, "entry");
  if (typeof entry === "string") return [entry];
  return isRecord(entry) ? Object.values(entry).filter((file) => typeof file === "string") : [];
}

/** An entry has to be a file of the package itself. */
function checkEntries(manifest: Manifest, files: readonly string[], from: string): void {
  for (const entry of entriesOf(manifest)) {
    const reason = /^[a-z][a-z0-9+.-]*:/i.test(entry)
      ? "is a URL; it must be a file of the package"
      : entry.split(/[\\/]/).includes("..") || path.isAbsolute(entry) || entry.includes("\\")
        ? "leaves the package"
        : files.includes(entry)
          ? undefined
          : "is no file of the package; build it first, and look at the spelling";
    if (reason) throw invalid(`${from}: entry ${quoted(entry)} ${reason}`);
    segmentsOf(entry);
  }
}

/** OpenClaw's plugins are ordinary programs; saying so is better than "no manifest". */
function refuseOpenClaw(where: string): never {
  throw new RclawError(
    "INVALID_REQUEST",
    `${quoted(where)} is an OpenClaw plugin (openclaw.plugin.json). It cannot run in rclaw's cages yet: it expects a whole Node process. What it would take, and how to write the same for rclaw, is in docs/plugins.md; look for one that is made for rclaw with: rclaw plugin search`,
  );
}

const isThere = async (file: string): Promise<boolean> =>
  (await lstat(file).catch(() => undefined)) !== undefined;

/** Is this a plugin of ours, or at least one that we know? Throws when it is neither. */
export async function requireManifest(folder: string, shownAs: string): Promise<void> {
  if (await isThere(path.join(folder, manifestName))) return;
  if (await isThere(path.join(folder, "openclaw.plugin.json"))) refuseOpenClaw(shownAs);
  throw invalid(`${quoted(shownAs)} holds no ${manifestName} in its root, so it is no plugin for rclaw`);
}

export async function readManifest(
  folder: string,
  files: readonly string[],
  shownAs: string,
): Promise<Manifest> {
  const from = `${manifestName} of ${quoted(shownAs)}`;
  const file = path.join(folder, manifestName);
  if ((await lstat(file)).size > limits.manifestBytes)
    throw invalid(`${from} is larger than ${limits.manifestBytes} bytes`);
  const manifest = manifestOf((await readRegular(file, limits.manifestBytes)).toString("utf8"), from);
  checkEntries(manifest, files, from);
  return manifest;
}
