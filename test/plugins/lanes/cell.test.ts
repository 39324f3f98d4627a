import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { createCell } from "../../../plugins/services/lanes/cell.ts";

test("the reason for which a thread was ended is not the reason of the thread that follows it", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "rclaw-cell-"));
  const workerFile = path.join(folder, "thread.cjs");
  await writeFile(
    workerFile,
    `module.exports = ({ id }) => (id === "exits" ? process.exit(3) : new Promise(() => {}));`,
  );
  const cell = createCell({ name: "own", workerFile, entryMs: 1_000, heapMb: 32, onEmpty: () => undefined });
  try {
    const task = (id: string) => ({ id }) as unknown as Parameters<typeof cell.place>[0];
    const hung = await cell.place(task("hangs"), []);
    cell.end("computed for too long", hung.slot);
    await expect(hung.gone).rejects.toThrow();
    expect(hung.ended()).toEqual({ reason: "computed for too long", slot: hung.slot });

    const fell = await cell.place(task("exits"), []);
    await expect(fell.gone).rejects.toThrow();
    expect(fell.ended()).toEqual({ reason: undefined, slot: undefined });
  } finally {
    await cell.close();
    await rm(folder, { recursive: true, force: true });
  }
});
