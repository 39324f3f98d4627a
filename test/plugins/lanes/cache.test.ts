import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createUses } from "../../../plugins/services/lanes/cache.ts";

let folder: string;
let forgotten: string[];
let uses: ReturnType<typeof createUses>;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-uses-"));
  forgotten = [];
  uses = createUses(folder, async (hash) => void forgotten.push(hash));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("of the versions of a plugin the last three are kept, and one that is used again counts as new", async () => {
  for (const hash of ["a", "b", "c", "a", "d", "e"]) {
    await uses.note("one", hash);
    // The order is by time, which a fast disk does not tell apart.
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
  expect(forgotten).toEqual(["b", "c"]);
  expect((await readdir(path.join(folder, "uses/one"))).sort()).toEqual(["a", "d", "e"]);
});

test("what two plugins share goes with the second of them", async () => {
  await uses.note("one", "a");
  await uses.note("two", "a");
  await uses.note("two", "b");
  await uses.forget("two");
  expect(forgotten).toEqual(["b"]);
  await uses.forget("one");
  expect(forgotten).toEqual(["b", "a"]);
  expect(await readdir(path.join(folder, "uses"))).toEqual([]);
});

test("a plugin that nothing was made of is forgotten as well", async () => {
  await uses.forget("none");
  expect(forgotten).toEqual([]);
});
