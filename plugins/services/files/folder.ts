import { constants, existsSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readlink, realpath } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { namesBelow, outside } from "./names.ts";

/**
 * A folder inside the root that cannot be swapped for another while it is held.
 * `at(name)` is a path that means this very folder whatever its name means meanwhile.
 */
export interface Folder extends AsyncDisposable {
  /** Names from the root to here, free of symbolic links. */
  readonly names: readonly string[];
  at(name: string): string;
  /** Path to list the folder itself. */
  readonly here: string;
  /**
   * Throws when the folder is no longer where it was, or `opened` is not what stands in it
   * under that name; a no-op where a descriptor pins the folder.
   */
  verify(opened?: { readonly name: string; readonly ino: number; readonly dev: number }): Promise<void>;
}

export interface Walk {
  /** The folder that holds the last name, and that name; undefined for the root itself. */
  readonly folder: Folder;
  readonly name: string | undefined;
  /** Names that were to be folders and do not exist, from the first one on. */
  readonly missing: readonly string[];
}

export interface WalkOptions {
  readonly root: string;
  readonly file: string;
  /** Make the folders that are missing. */
  readonly create?: boolean;
  /** The last name is a folder too and is entered. */
  readonly into?: boolean;
  /** A symbolic link as the last name is an error instead of being followed. */
  readonly refuseLink?: boolean;
  /** Asked with the final names, after links, before anything is made. */
  check?(names: readonly string[]): void;
  /** "path" is for systems without /proc; tests force it. */
  readonly pin?: "descriptor" | "path";
}

const maxLinks = 40;

/**
 * Goes from the root to the folder of `file`, one name at a time. No step follows a symbolic
 * link: a link is read and its target resolved here, from the root, so a link that stays
 * inside works and one that leaves is refused, whatever is swapped meanwhile.
 */
export async function walk(options: WalkOptions): Promise<Walk> {
  const { root, file, check } = options;
  const real = await realpath(root);
  let names = namesBelow(real === root ? [root] : [real, root], file);
  for (let links = 0; links <= maxLinks; links += 1) {
    check?.(names);
    const step = await walkOnce(real, names, options);
    if (!("link" in step)) return step;
    if (path.isAbsolute(step.link)) names = absoluteLink([real, root], step.link, file).concat(step.rest);
    else names = linkNames(step.before, step.link, step.rest, file);
  }
  throw outside(file, "goes through too many symbolic links");
}

/** Where the link points to is nobody's business who may not go there. */
function absoluteLink(roots: readonly string[], link: string, file: string): readonly string[] {
  try {
    return namesBelow(roots, link);
  } catch {
    throw outside(file, "goes through a symbolic link that leaves the workspace");
  }
}

/** The names before a link are real folders, so `..` may be resolved by text. */
function linkNames(
  before: readonly string[],
  link: string,
  rest: readonly string[],
  file: string,
): readonly string[] {
  const names = [...before];
  for (const name of [...link.split(path.sep), ...rest]) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined)
      throw outside(file, "goes through a symbolic link that leaves the workspace");
  }
  return names;
}

interface Link {
  readonly before: readonly string[];
  readonly link: string;
  readonly rest: readonly string[];
}

async function walkOnce(real: string, names: readonly string[], options: WalkOptions): Promise<Walk | Link> {
  let folder = await enter(real, [], options);
  try {
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index] ?? "";
      const last = options.into !== true && index === names.length - 1;
      const found = await lstat(folder.at(name)).catch(absent);
      if (found?.isSymbolicLink() === true) {
        if (last && options.refuseLink === true)
          throw outside(options.file, "is a symbolic link and is not written through");
        const link = await readlink(folder.at(name)).catch(swapped(options.file));
        await folder[Symbol.asyncDispose]();
        return { before: names.slice(0, index), link, rest: names.slice(index + 1) };
      }
      if (last) return { folder, name, missing: [] };
      if (found === undefined) {
        if (options.create !== true) return { folder, name: names.at(-1), missing: names.slice(index) };
        await folder.verify();
        await mkdir(folder.at(name), { mode: 0o777 }).catch(unlessExists);
      } else if (!found.isDirectory()) {
        throw new RclawError(
          "NOT_REGULAR_FILE",
          `"${names.slice(0, index + 1).join("/")}" is not a folder, so nothing can be below it.`,
        );
      }
      const next = await enter(folder.at(name), names.slice(0, index + 1), options);
      await folder[Symbol.asyncDispose]();
      folder = next;
    }
    return { folder, name: undefined, missing: [] };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

function enter(at: string, names: readonly string[], { pin, file }: WalkOptions): Promise<Folder> {
  return (pin ?? (existsSync("/proc/self/fd") ? "descriptor" : "path")) === "descriptor"
    ? enterPinned(at, names, file)
    : enterByPath(at, names, file);
}

/** Node has no openat(2); /proc/self/fd/<n>/<name> is the same thing on Linux. */
async function enterPinned(at: string, names: readonly string[], file: string): Promise<Folder> {
  const handle: FileHandle = await open(
    at,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  ).catch(swapped(file));
  const here = `/proc/self/fd/${handle.fd}`;
  return {
    names,
    here,
    at: (name) => `${here}/${name}`,
    verify: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Elsewhere a path is all there is: it must be canonical now, and still be the same folder after the work. */
async function enterByPath(at: string, names: readonly string[], file: string): Promise<Folder> {
  const before = await lstat(at).catch(swapped(file));
  const verify: Folder["verify"] = async (opened) => {
    if (opened !== undefined) {
      // What was opened while the folder was a link is not what is there when it is a folder again.
      const leaf = await lstat(path.join(at, opened.name)).catch(swapped(file));
      if (leaf.ino !== opened.ino || leaf.dev !== opened.dev) {
        throw outside(file, "was changed by another program while it was used");
      }
    }
    const [now, canonical] = await Promise.all([lstat(at), realpath(at)]).catch(swapped(file));
    if (canonical !== at || !now.isDirectory() || now.ino !== before.ino || now.dev !== before.dev) {
      throw outside(file, "was changed by another program while it was used");
    }
  };
  await verify();
  return {
    names,
    here: at,
    at: (name) => path.join(at, name),
    verify,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A name that was a folder, or a link, a moment ago and now is not: somebody is racing. */
function swapped(file: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    const code = error.code ?? "";
    if (["ELOOP", "ENOTDIR", "EINVAL", "ENOENT"].includes(code)) {
      throw outside(file, "was changed by another program while it was used");
    }
    throw error;
  };
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}

function unlessExists(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
