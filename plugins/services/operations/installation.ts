import { readFile, stat } from "node:fs/promises";
import path from "node:path";

export interface Installation {
  readonly kind: "git" | "package" | "unknown";
  /** Where its package.json stands. */
  readonly folder?: string;
  /** The commit that is checked out. */
  readonly sha?: string;
}

/** How the program came to be where it is, told by the files around it: no program is started for it. */
export async function lookAtInstallation(root: string): Promise<Installation> {
  const folder = await packageFolder(root);
  if (folder === undefined) return { kind: "unknown" };
  const git = path.join(folder, ".git");
  if (await stat(git).catch(() => undefined)) {
    const sha = await commitOf(git).catch(() => undefined);
    return { kind: "git", folder, ...(sha !== undefined && { sha }) };
  }
  return { kind: folder.split(path.sep).includes("node_modules") ? "package" : "unknown", folder };
}

/** The nearest folder above that is a package with a name, as the built files stand in one of its folders. */
async function packageFolder(start: string): Promise<string | undefined> {
  for (let folder = path.resolve(start); ; folder = path.dirname(folder)) {
    const text = await readFile(path.join(folder, "package.json"), "utf8").catch(() => "{}");
    if (/"name"\s*:/.test(text)) return folder;
    if (folder === path.dirname(folder)) return undefined;
  }
}

async function commitOf(git: string): Promise<string | undefined> {
  const text = async (...names: string[]): Promise<string> =>
    (await readFile(path.join(...names), "utf8")).trim();
  // A linked working tree has a file there that names the real folder.
  const linked = (await stat(git)).isFile() ? /^gitdir: (.+)$/.exec(await text(git))?.[1] : undefined;
  const folder = linked === undefined ? git : path.resolve(path.dirname(git), linked);
  const head = await text(folder, "HEAD");
  const ref = /^ref: (.+)$/.exec(head)?.[1];
  if (ref === undefined) return isSha(head) ? head : undefined;
  const common = path.resolve(folder, await text(folder, "commondir").catch(() => "."));
  const loose = await text(common, ref).catch(() => undefined);
  if (loose !== undefined) return isSha(loose) ? loose : undefined;
  const packed = await text(common, "packed-refs").catch(() => "");
  return packed
    .split("\n")
    .find((line) => line.endsWith(` ${ref}`))
    ?.split(" ", 1)[0];
}

const isSha = (text: string): boolean => /^[0-9a-f]{40,64}$/.test(text);
