import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { makeWorkspace } from "../../plugins/services/files/workspace.ts";

test("a new workspace says what it is, one that exists is left alone, and one that cannot be made is named", async () => {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-workspace-"));
  const folder = path.join(dir, "main");
  expect(await makeWorkspace(folder)).toBe(folder);
  expect(await readdir(folder)).toEqual(["README.md"]);
  await rm(path.join(folder, "README.md"));
  await makeWorkspace(folder);
  expect(await readdir(folder)).toEqual([]);
  const file = path.join(dir, "file");
  await writeFile(file, "");
  const inFile = path.join(file, "main");
  await expect(makeWorkspace(inFile)).rejects.toMatchObject({
    code: "STORE_DEGRADED",
    message: expect.stringContaining(`the workspace ${inFile} cannot be made`),
    retryable: true,
  });
  await rm(dir, { recursive: true });
});
