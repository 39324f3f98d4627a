import { readFileSync } from "node:fs";
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
