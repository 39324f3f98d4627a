import { readFile } from "node:fs/promises";
import path from "node:path";
import type {
  ConsentKind,
  Finding,
  LockedPlugin,
  Plan,
  PluginLock,
  SignerVerdict,
  StageOptions,
  Staged,
  StorePorts,
} from "@rclaw/plugin-sdk/services/plugin-store";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import JSON5 from "json5";
import { mistakenFor } from "./confusable.ts";
import { capabilitiesOf, diffManifests } from "./diff.ts";
import { manifestName, versionFolder } from "./layout.ts";
import { lockedPlugin, readLock } from "./lockfile.ts";
import { sourceOf } from "./source.ts";
import { own, shown } from "./text.ts";

function verdictOf({ signer, rotatedFrom }: Staged, installed: LockedPlugin | undefined): SignerVerdict {
  const expected = installed?.signer;
  const both = { ...(signer && { signer }), ...(expected && { expected }) };
  if (!signer) return { kind: expected ? "dropped" : "unsigned", ...both };
  if (!expected) return { kind: "first-use", ...both };
  if (signer.key === expected.key) return { kind: "same", ...both };
  return { kind: rotatedFrom?.key === expected.key ? "rotated" : "changed", ...both };
}

const signerFindings: Readonly<
  Partial<Record<SignerVerdict["kind"], Pick<Finding, "id" | "level" | "message">>>
> = {
  unsigned: {
    id: "unsigned",
    level: "note",
    message: "nobody signed it, so an update could come from anybody",
  },
  dropped: {
    id: "signer-changed",
    level: "warning",
    message: "the installed version is signed and this one is not; it may not be by the same people",
  },
  changed: {
    id: "signer-changed",
    level: "warning",
    message: "it is signed by somebody else than the installed version, who does not vouch for them",
  },
};

/** Packages by their name, everything else by where it is: a version is no other source. */
function placeOf(source: string): string {
  try {
    const parsed = sourceOf(source);
    if (parsed.kind === "npm") return `npm:${parsed.name}`;
    return parsed.kind === "url" ? parsed.url.origin : parsed.kind;
  } catch {
    // A lock can be edited.
    return source;
  }
}

function isOlder(version: string, than: string): boolean {
  const numbers = (text: string): number[] =>
    (/^\d+(?:\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const [a, b] = [numbers(version), numbers(than)];
  const at = [0, 1, 2].find((index) => (a[index] ?? 0) !== (b[index] ?? 0));
  return at !== undefined && (a[at] ?? 0) < (b[at] ?? 0);
}

function comparedFindings(staged: Staged, installed: LockedPlugin | undefined): Finding[] {
  const findings: Finding[] = [];
  if (!installed) return findings;
  if (placeOf(installed.source) !== placeOf(staged.source))
    findings.push({
      id: "other-source",
      level: "warning",
      message: `the installed version came from ${shown(installed.source)}, this one comes from ${shown(staged.source)}`,
    });
  if (isOlder(staged.version, installed.version))
    findings.push({
      id: "older-version",
      level: "warning",
      message: `it is older (${shown(staged.version)}) than the installed version (${shown(installed.version)})`,
    });
  return findings;
}

/** The installed version's manifest, with the permissions that were really agreed to. */
async function agreedManifest(stateDir: string, id: string, installed: LockedPlugin): Promise<unknown> {
  const file = path.join(versionFolder(stateDir, id, installed.digest), manifestName);
  try {
    const manifest: unknown = JSON5.parse(await readFile(file, "utf8"));
    return isRecord(manifest) ? { ...manifest, permissions: installed.grants } : {};
  } catch {
    // Damaged or gone: then nothing of it counts as agreed to.
    return {};
  }
}

/** What committing the package would mean beside what this lock says. */
export async function planOf(
  stateDir: string,
  lock: PluginLock,
  staged: Staged,
  { builtIns }: Pick<StageOptions, "builtIns">,
): Promise<Plan> {
  const { id, version, manifest, source, digest, files, bytes } = staged;
  const installed = lockedPlugin(lock, id);
  const signer = verdictOf(staged, installed);
  const others = Object.keys(lock.plugins).map((other) => ({ id: other, name: other }));
  const parsed = sourceOf(source);
  const twin = mistakenFor(
    { id, name: manifest.name, ...(parsed.kind === "npm" && { packageName: parsed.name }) },
    [...builtIns, ...others],
  );
  const agreed = installed && (await agreedManifest(stateDir, id, installed));
  const diff = diffManifests(agreed, manifest);
  const signerFinding = signerFindings[signer.kind];
  const findings: Finding[] = [
    ...staged.findings,
    ...comparedFindings(staged, installed),
    ...(signerFinding ? [signerFinding] : []),
    ...(twin ? [confusable(id, manifest.name, twin.id)] : []),
  ];
  const asks: ConsentKind[] = [];
  if (!installed) asks.push("permissions");
  else if (diff.widened.length > 0) asks.push("widened");
  // An installed plugin's name was agreed to before.
  if (twin && own(agreed, "name") !== manifest.name) asks.push("confusable");
  if (signer.kind === "dropped" || signer.kind === "changed") asks.push("signer");
  return {
    id,
    version,
    manifest,
    source,
    digest,
    fileCount: Object.keys(files).length,
    bytes,
    signer,
    findings,
    capabilities: capabilitiesOf(manifest),
    ...(installed && { installed: { version: installed.version, digest: installed.digest } }),
    diff,
    asks,
  };
}

const confusable = (id: string, name: string, twin: string): Finding => ({
  id: "confusable",
  level: "warning",
  message: `"${id}" (${shown(name)}) is easily taken for "${twin}", which is another plugin`,
});

export async function inspect(
  { stateDir }: Pick<StorePorts, "stateDir">,
  staged: Staged,
  options: Pick<StageOptions, "builtIns">,
): Promise<Plan> {
  return planOf(stateDir, await readLock(stateDir), staged, options);
}
