import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { bench } from "./exec.support.ts";

test("a file is written with its folders, under either name of the path", async () => {
  await using write = await bench("write");
  expect(await write.call({ path: "a/b/c.txt", content: "héllo" })).toEqual({
    content: 'Wrote 6 bytes to "a/b/c.txt".',
    details: { path: "a/b/c.txt", bytes: 6 },
  });
  await write.call({ file_path: "a/b/c.txt", content: "again" });
  expect(readFileSync(path.join(write.workspace, "a/b/c.txt"), "utf8")).toBe("again");
  expect(write.tool.paths).toEqual(["path", "file_path"]);
});

test("what must not be written is an answer with the reason", async () => {
  await using write = await bench("write");
  expect(await write.call({ path: ".git/hooks/pre-commit", content: "x" })).toMatchObject({
    isError: true,
    details: { code: "POLICY_DENIED" },
  });
  expect(await write.call({ path: "../x", content: "x" })).toMatchObject({
    isError: true,
    details: { code: "PATH_OUTSIDE_WORKSPACE" },
  });
  expect(await write.call({ content: "x" })).toMatchObject({ isError: true });
});

test("a read-only file stays as it is, for root as well", async () => {
  await using write = await bench("write");
  const file = path.join(write.workspace, "kept.txt");
  writeFileSync(file, "old");
  chmodSync(file, 0o444);
  expect(await write.call({ path: "kept.txt", content: "new" })).toMatchObject({
    isError: true,
    details: { code: "PERMISSION_DENIED" },
  });
  expect(readFileSync(file, "utf8")).toBe("old");
});

test.skipIf(process.getuid?.() !== 0)(
  "an overwritten file keeps its mode and its owner (not run: needs root)",
  async () => {
    await using write = await bench("write");
    const file = path.join(write.workspace, "run.sh");
    writeFileSync(file, "old");
    chmodSync(file, 0o750);
    chownSync(file, 1234, 1235);
    await write.call({ path: "run.sh", content: "new" });
    expect(statSync(file)).toMatchObject({ uid: 1234, gid: 1235 });
    expect(statSync(file).mode & 0o777).toBe(0o750);
  },
);

test("a path that names a folder is not taken for a file", async () => {
  await using write = await bench("write");
  mkdirSync(path.join(write.workspace, "a"));
  for (const file of ["a/", "new/", "a/.", "a"])
    expect(await write.call({ path: file, content: "x" }), file).toMatchObject({
      isError: true,
      details: { code: "NOT_REGULAR_FILE" },
    });
  expect(await write.call({ path: "x".repeat(300), content: "x" })).toMatchObject({
    details: { code: "INVALID_REQUEST" },
  });
});
