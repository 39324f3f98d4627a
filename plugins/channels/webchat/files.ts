import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";

/** What is no file of the page, or only leads to one. */
const absent: ReadonlySet<string | undefined> = new Set(["ENOENT", "ELOOP", "EMLINK", "EISDIR"]);

/** A file of the folder itself: a link that somebody put there shows nothing of what it leads to. */
export async function readPlain(
  folder: string,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path.join(folder, name), constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    // Asked of what was opened, not of the name: that may be another file by now.
    if (!(await file.stat()).isFile()) return undefined;
    return await file.readFile({ encoding: "utf8", signal });
  } catch (error) {
    if (absent.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  } finally {
    await file?.close();
  }
}
