import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import type { FileHashes, StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import { byText, quoted } from "./text.ts";

export const sha512 = (content: Uint8Array | string): string =>
  `sha512-${createHash("sha512").update(content).digest("base64")}`;

/** What is signed and what the digest is of: a line for each file, by path. */
export function fileList(files: FileHashes): string {
  return Object.keys(files)
    .sort(byText)
    .map((file) => `${file}\0${files[file]}\n`)
    .join("");
}

export const digestOf = (files: FileHashes): string => sha512(fileList(files));

/** The digest as a folder's name. */
export const shortDigest = (digest: string): string =>
  Buffer.from(digest.slice("sha512-".length), "base64").toString("hex").slice(0, 12);

export interface FoundFile {
  readonly path: string;
  readonly kind: "file" | "folder" | "other";
  readonly size: number;
}

/** Everything below a folder, sorted, links not followed. `enter` may keep whole folders out. */
export async function walk(
  folder: string,
  enter: (relative: string) => boolean = () => true,
): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  const visit = async (relative: string): Promise<void> => {
    const names = await readdir(path.join(folder, relative));
    for (const name of names.sort(byText)) {
      const below = relative === "" ? name : `${relative}/${name}`;
      if (!enter(below)) continue;
      const stats = await lstat(path.join(folder, below));
      const kind = stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
      found.push({ path: below, kind, size: stats.size });
      if (kind === "folder") await visit(below);
    }
  };
  await visit("");
  return found;
}

/** Reads a regular file of at most this size; a link in its place is not followed. */
export async function readRegular(file: string, maxBytes: number): Promise<Buffer> {
  const stats = await lstat(file);
  if (!stats.isFile())
    throw new RclawError("NOT_REGULAR_FILE", `${quoted(file)} is no regular file; only those are taken`);
  if (stats.size > maxBytes)
    throw new RclawError("TOO_LARGE", `${quoted(file)} is larger than ${maxBytes} bytes`);
  // A link put in its place since is not followed, and a pipe would wait for whoever writes to it.
  const handle = await open(
    file,
    constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
  );
  try {
    // One byte more than it may have shows a file that has grown since.
    const buffer = Buffer.alloc(stats.size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > stats.size)
      throw new RclawError("CONFLICT", `${quoted(file)} changed while it was read; try again`);
    return buffer.subarray(0, length);
  } finally {
    await handle.close();
  }
}

/** Hashes of all files below a folder, with their size. */
export async function hashFolder(
  folder: string,
  { signal, progress }: Pick<StorePorts, "signal" | "progress">,
  maxBytes: number,
): Promise<{ readonly files: FileHashes; readonly bytes: number }> {
  const found = (await walk(folder)).filter(({ kind }) => kind !== "folder");
  const pairs: [string, string][] = [];
  let bytes = 0;
  for (const [at, file] of found.entries()) {
    signal?.throwIfAborted();
    const content = await readRegular(path.join(folder, file.path), maxBytes);
    bytes += content.length;
    pairs.push([file.path, sha512(content)]);
    progress?.({ phase: "hash", done: at + 1, total: found.length });
  }
  return { files: Object.fromEntries(pairs.sort(([a], [b]) => byText(a, b))), bytes };
}
