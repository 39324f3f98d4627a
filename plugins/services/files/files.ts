import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, type FileHandle, lstat, open, readdir, realpath, rename, unlink } from "node:fs/promises";
import path from "node:path";
import { type Files, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { type Folder, type Walk, walk, type WalkOptions } from "./folder.ts";
import { outside, printable, protectedReason } from "./names.ts";

export interface FilesOptions {
  /** Absolute folders that stay closed even inside the workspace: the gateway's own state. */
  readonly closed?: readonly string[];
  /** How a folder is held while it is used. The system decides; tests force the portable way. */
  readonly pin?: "descriptor" | "path";
}

const defaultMaxBytes = 10 * 1024 * 1024;

/** The workspace's files: the one place where a path that somebody else wrote is opened. */
export function createFiles(root: string, options: FilesOptions = {}): Files {
  return {
    read: (file, { maxBytes = defaultMaxBytes, from } = {}) =>
      explained(file, async () => {
        const { folder, name, missing } = await walkIn(root, file, options);
        await using held = folder;
        if (name === undefined) throw notRegular(file, "is a folder");
        if (missing.length > 0) throw notFound(file);
        return await readFrom(held, name, file, { maxBytes, from });
      }),
    write: (file, data) =>
      explained(file, async () => {
        if (/[/\\]\.?$/.test(file)) throw notRegular(file, "names a folder");
        const check = (names: readonly string[]) => refuseProtected(file, names);
        const { folder, name } = await walkIn(root, file, options, { create: true, refuseLink: true, check });
        await using held = folder;
        if (name === undefined) throw notRegular(file, "is a folder");
        await replaceIn(held, name, file, data);
      }),
    list: (file) =>
      explained(file, async () => {
        const { folder, missing } = await walkIn(root, file, options, { into: true });
        await using held = folder;
        if (missing.length > 0) throw notFound(file);
        return await entriesOf(held);
      }),
  };
}

/**
 * Where `file` really is, for a check before a tool runs. Missing files pass, since a tool may
 * be about to make them. The tool must still open the file through `Files`: things may change.
 */
export async function checkPath(root: string, file: string, options: FilesOptions = {}): Promise<string> {
  return explained(file, async () => {
    const { folder, name, missing } = await walkIn(root, file, options);
    await using held = folder;
    const real = await realpath(root);
    if (name === undefined) return real;
    if (missing.length > 0) return path.join(real, ...held.names, ...missing);
    const found = await lstat(held.at(name)).catch(ifMissing);
    if (found?.isSymbolicLink() === true)
      throw outside(file, "was changed by another program while it was used");
    if (found !== undefined && !found.isDirectory()) refuseOdd(file, found);
    return path.join(real, ...held.names, name);
  });
}

async function walkIn(
  root: string,
  file: string,
  options: FilesOptions,
  more: Partial<WalkOptions> = {},
): Promise<Walk> {
  const closed = await namesOfClosed(root, options.closed ?? []);
  const check = (names: readonly string[]) => {
    if (closed.some((place) => place.every((name, index) => names[index] === name))) {
      throw outside(file, "belongs to the gateway's own state, which no tool may touch");
    }
    more.check?.(names);
  };
  return walk({ root, file, ...(options.pin !== undefined && { pin: options.pin }), ...more, check });
}

/** The closed folders as names below the root; those elsewhere, or around the root, do not matter. */
async function namesOfClosed(root: string, closed: readonly string[]): Promise<readonly string[][]> {
  if (closed.length === 0) return [];
  const real = await realpath(root);
  const places = await Promise.all(
    closed.map((folder) => realpath(folder).catch(() => path.resolve(folder))),
  );
  return places
    .map((place) => path.relative(real, place))
    .filter((relative) => relative.split(path.sep)[0] !== ".." && !path.isAbsolute(relative))
    .map((relative) => (relative === "" ? [] : relative.split(path.sep)));
}

interface Part {
  readonly maxBytes: number;
  readonly from: number | undefined;
}

async function readFrom(
  folder: Folder,
  name: string,
  file: string,
  { maxBytes, from }: Part,
): Promise<Uint8Array> {
  // Opening a device can act by itself, so look first; the open file is looked at again.
  refuseOdd(file, await lstat(folder.at(name)));
  await using handle = await openAt(folder.at(name), constants.O_RDONLY | constants.O_NONBLOCK, file);
  const stat = await handle.stat();
  refuseOdd(file, stat);
  await folder.verify({ name, ino: stat.ino, dev: stat.dev });
  if (from !== undefined) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(maxBytes), 0, maxBytes, from);
    return buffer.subarray(0, bytesRead);
  }
  if (stat.size > maxBytes) throw tooLarge(file, stat.size, maxBytes);
  return await readAll(handle, stat.size, file, maxBytes);
}

/** A file may grow while it is read, so its size is a guess. */
async function readAll(
  handle: FileHandle,
  size: number,
  file: string,
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let total = 0;
  for (let room = size + 1; ; room = 65_536) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(room), 0, room, null);
    if (bytesRead === 0) break;
    total += bytesRead;
    if (total > maxBytes) throw tooLarge(file, total, maxBytes);
    chunks.push(buffer.subarray(0, bytesRead));
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

async function replaceIn(
  folder: Folder,
  name: string,
  file: string,
  data: string | Uint8Array,
): Promise<void> {
  const found = await lstat(folder.at(name)).catch(ifMissing);
  if (found?.isSymbolicLink() === true) throw outside(file, "is a symbolic link and is not written through");
  if (found !== undefined) refuseOdd(file, found);
  const mode = found === undefined ? 0o666 : found.mode & 0o777;
  // A new file takes the old one's place, so the system does not ask whether the old one may be written.
  if (found !== undefined) await refuseReadOnly(folder.at(name), file, mode);
  const temp = `.rclaw-${randomBytes(8).toString("hex")}.tmp`;
  await folder.verify();
  {
    await using handle = await openAt(
      folder.at(temp),
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
      file,
      mode,
    );
    try {
      if (found !== undefined) {
        if (found.uid !== process.geteuid?.())
          await handle.chown(found.uid, found.gid).catch(unlessForbidden);
        // The umask may have taken bits away that the old file had.
        await handle.chmod(mode);
      }
      await handle.writeFile(data);
      await handle.sync();
      await folder.verify();
    } catch (error) {
      await unlink(folder.at(temp)).catch(() => undefined);
      throw error;
    }
  }
  try {
    // Whatever stands under that name by now is replaced, never followed.
    await rename(folder.at(temp), folder.at(name));
  } catch (error) {
    await unlink(folder.at(temp)).catch(() => undefined);
    throw error;
  }
}

async function entriesOf(folder: Folder): ReturnType<Files["list"]> {
  const names = (await readdir(folder.here)).sort();
  const entries: Awaited<ReturnType<Files["list"]>>[number][] = [];
  for (const name of names) {
    const stat = await lstat(folder.at(name)).catch(ifMissing);
    if (stat === undefined) continue;
    const kind = stat.isFile() ? "file" : stat.isDirectory() ? "folder" : "other";
    entries.push({ name, kind, size: kind === "file" ? stat.size : 0 });
  }
  await folder.verify();
  return entries;
}

async function openAt(at: string, flags: number, file: string, mode?: number): Promise<FileHandle> {
  try {
    // O_NOFOLLOW does not exist on Windows; there `verify` and `lstat` have to do.
    return await open(at, flags | (constants.O_NOFOLLOW ?? 0), mode);
  } catch (error) {
    if (codeOf(error) === "ELOOP") throw outside(file, "became a symbolic link while it was used");
    // What opening a socket, or a FIFO nobody listens to, answers.
    if (codeOf(error) === "ENXIO") throw notRegular(file, "is not a regular file");
    throw error;
  }
}

/** Files only, and only under one name: a second hard link may stand outside the workspace. */
function refuseOdd(
  file: string,
  stat: { isFile(): boolean; isDirectory(): boolean; isSymbolicLink(): boolean; nlink: number },
): void {
  if (stat.isSymbolicLink()) throw outside(file, "became a symbolic link while it was used");
  if (stat.isDirectory()) throw notRegular(file, "is a folder");
  if (!stat.isFile()) throw notRegular(file, "is a device, a pipe or a socket");
  if (stat.nlink > 1)
    throw outside(
      file,
      "has a second hard link, which may be outside the workspace; copy it to a new name first",
    );
}

async function refuseReadOnly(at: string, file: string, mode: number): Promise<void> {
  // Root may write everything, but who takes all write bits away means it.
  const writable = (mode & 0o222) !== 0 && (await access(at, constants.W_OK).then(() => true, isMissing));
  if (writable) return;
  throw new RclawError(
    "PERMISSION_DENIED",
    `"${printable(file)}" is read-only and stays as it is. Write to another name, or make it writable first.`,
    { details: { path: printable(file) } },
  );
}

function refuseProtected(file: string, names: readonly string[]): void {
  const reason = protectedReason(names);
  if (reason === undefined) return;
  throw new RclawError(
    "POLICY_DENIED",
    `"${printable(file)}" is not written, because other programs run or trust ${reason} outside the sandbox. Ask the owner to change it.`,
    { details: { path: printable(file) } },
  );
}

const notFound = (file: string) =>
  new RclawError(
    "NOT_FOUND",
    `There is no "${printable(file)}" in the workspace. List its folder to see what is there.`,
    {
      details: { path: printable(file) },
    },
  );
const notRegular = (file: string, what: string) =>
  new RclawError(
    "NOT_REGULAR_FILE",
    `"${printable(file)}" ${what}; only regular files can be read and written.`,
    {
      details: { path: printable(file) },
    },
  );
const tooLarge = (file: string, size: number, maxBytes: number) =>
  new RclawError(
    "TOO_LARGE",
    `"${printable(file)}" has ${size} bytes; at most ${maxBytes} are read at once. Read a part of it another way.`,
    {
      details: { path: printable(file), size, maxBytes },
    },
  );

/** Gives the system's errors the house's codes. */
async function explained<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || isRclawError(error)) throw error;
    if (code === "ENOENT") throw notFound(file);
    if (code === "EISDIR") throw notRegular(file, "is a folder");
    if (code === "ENAMETOOLONG")
      throw new RclawError(
        "INVALID_REQUEST",
        `"${printable(file)}": a name in it is too long. Use a shorter one.`,
      );
    if (code === "ENOTDIR") throw notRegular(file, "is not a folder");
    const denied = ["EACCES", "EPERM", "EROFS"].includes(code);
    const what = denied
      ? "the system does not allow it"
      : code === "ENOSPC" || code === "EDQUOT"
        ? "the disk is full"
        : "the system failed";
    throw new RclawError(
      denied ? "PERMISSION_DENIED" : "UNAVAILABLE",
      `"${printable(file)}": ${what} (${code}).`,
      {
        cause: error,
        details: { path: printable(file), code },
      },
    );
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

const isMissing = (error: unknown) => codeOf(error) === "ENOENT";

/** Only root can give a file to its owner; for others it then belongs to who wrote it. */
function unlessForbidden(error: unknown): void {
  if (codeOf(error) !== "EPERM") throw error;
}

function ifMissing(error: unknown): undefined {
  if (codeOf(error) === "ENOENT") return undefined;
  throw error;
}
