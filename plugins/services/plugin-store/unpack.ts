import { once } from "node:events";
import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import { limits, mebibytes } from "./limits.ts";
import { createNames } from "./names.ts";
import { readTar } from "./tar.ts";

/** Ours for every file, whatever the package says: nothing of it is ever started as a program. */
const fileMode = 0o644;
const folderMode = 0o755;

export async function writeNew(file: string, content: Uint8Array): Promise<void> {
  const handle = await open(file, "wx", fileMode);
  try {
    await handle.writeFile(content);
  } finally {
    await handle.close();
  }
}

export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: folderMode });
}

/** Unpacked bytes, as long as there are not too many of them. */
async function* gunzip(packed: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const stream = createGunzip();
  // Written by hand: a stream that is fed from a pipeline would go on after the reader has had enough.
  const fed = feed(stream, packed).catch((error: unknown) => stream.destroy(error as Error));
  let total = 0;
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      total += piece.length;
      if (total > limits.unpackedBytes)
        throw new RclawError(
          "TOO_LARGE",
          `the package is larger than ${mebibytes(limits.unpackedBytes)} when unpacked. Nothing was installed`,
        );
      if (total > limits.ratioFromBytes && total > packed.length * limits.ratio)
        throw new RclawError(
          "TOO_LARGE",
          `the package unpacks to more than ${limits.ratio} times its size, which no plugin does. Nothing was installed`,
        );
      yield piece;
    }
  } finally {
    stream.destroy();
    await fed;
  }
}

async function feed(stream: ReturnType<typeof createGunzip>, packed: Uint8Array): Promise<void> {
  const step = 65_536;
  const closed = once(stream, "close");
  for (let at = 0; at < packed.length && !stream.destroyed; at += step) {
    const written = new Promise((resolve) => {
      stream.write(packed.subarray(at, at + step), resolve);
    });
    await Promise.race([written, closed]);
  }
  if (!stream.destroyed) stream.end();
  await closed;
}

/** Unpacks a .tgz into a folder that is empty and nobody else's. Throws without having left it. */
export async function unpack(
  packed: Uint8Array,
  folder: string,
  { signal, progress }: Pick<StorePorts, "signal" | "progress">,
): Promise<void> {
  const names = createNames();
  let done = 0;
  try {
    for await (const entry of readTar(gunzip(packed, signal), limits.unpackedBytes)) {
      // What `tar` calls the archive's own root.
      if (entry.isFolder && (entry.path === "" || entry.path === ".")) continue;
      const target = path.join(folder, ...names.add(entry.path, entry.isFolder));
      await makeFolder(entry.isFolder ? target : path.dirname(target));
      if (!entry.isFolder) await writeNew(target, entry.content);
      done += entry.content.length;
      progress?.({ phase: "unpack", done });
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (isRclawError(error)) throw error;
    throw new RclawError(
      "INVALID_REQUEST",
      `the package cannot be unpacked: ${(error as Error).message}. Nothing was installed; it should be a .tgz as npm makes them`,
      { cause: error },
    );
  }
}
