import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import path from "node:path";

/**
 * Replaces a file as a whole: temp file, fsync, rename, fsync of the folder.
 * Without the last step a power cut may undo the rename although the data is safe.
 */
export async function writeAtomic(
  file: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array>,
  mode = 0o600,
): Promise<void> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temp = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const handle = await open(temp, "wx", mode);
    try {
      // Node takes pieces as well; its types do not say so.
      await handle.writeFile(data as Uint8Array);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temp, file);
  } catch (error) {
    await unlink(temp).catch(() => undefined);
    throw error;
  }
  await syncFolder(folder);
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The names of `writeAtomic`, and those of others that do the same. */
const leftover = /^\.?.+\.[0-9a-f]{12}\.tmp$/;
/** Another process may be about to rename it this very moment. */
const leftoverAfterMs = 60_000;

/** Takes away what processes that were killed in the middle of a write have left in a folder, which may be secret. */
export async function removeLeftovers(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names.filter((other) => leftover.test(other))) {
    const file = path.join(folder, name);
    const found = await stat(file).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > leftoverAfterMs) await unlink(file).catch(() => undefined);
  }
}
