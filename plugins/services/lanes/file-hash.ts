import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/** SHA-256 in hex and the first bytes of a file, without holding all of it: twenty files of two megabytes are looked at in a row. */
export async function hashFile(file: string): Promise<{ hash: string; head: Uint8Array }> {
  const hash = createHash("sha256");
  const piece = new Uint8Array(65_536);
  let head = new Uint8Array();
  const handle = await open(file);
  try {
    for (;;) {
      const { bytesRead } = await handle.read(piece);
      if (bytesRead === 0) return { hash: hash.digest("hex"), head };
      const read = piece.subarray(0, bytesRead);
      if (head.length === 0) head = read.slice(0, 64);
      hash.update(read);
    }
  } finally {
    await handle.close();
  }
}
