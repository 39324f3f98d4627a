import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { bench } from "./exec.support.ts";

test("a short file is returned as it is", async () => {
  await using read = await bench("read");
  writeFileSync(path.join(read.workspace, "a.txt"), "one\ntwo\n");
  const result = await read.call({ path: "a.txt" });
  expect(result).toEqual({ content: "one\ntwo", details: { path: "a.txt", bytes: 8 } });
  expect((await read.call({ file_path: "a.txt" })).content).toBe("one\ntwo");
  expect(read.tool.paths).toEqual(["path", "file_path"]);
});

test("a long file comes in pages of 2,000 lines that say how to go on", async () => {
  await using read = await bench("read");
  writeFileSync(
    path.join(read.workspace, "long.txt"),
    Array.from({ length: 4100 }, (_, index) => `line ${index + 1}`).join("\n"),
  );
  const first = (await read.call({ path: "long.txt" })).content.split("\n");
  expect(first).toHaveLength(2001);
  expect(first.at(-1)).toBe("[Lines 1-2000 of 4100. Continue with offset 2001.]");
  const last = (await read.call({ path: "long.txt", offset: 4099 })).content;
  expect(last).toBe("line 4099\nline 4100\n[Lines 4099-4100 of 4100.]");
  expect((await read.call({ path: "long.txt", offset: 10, limit: 2 })).content).toBe(
    "line 10\nline 11\n[Lines 10-11 of 4100. Continue with offset 12.]",
  );
  expect((await read.call({ path: "long.txt", limit: 1_000_000 })).content.split("\n")).toHaveLength(2001);
  expect((await read.call({ path: "long.txt", offset: 5000 })).content).toMatch(
    /past the end: the file has 4100 lines/,
  );
});

test("a page is at most 50 KB, whole lines where possible", async () => {
  await using read = await bench("read");
  writeFileSync(path.join(read.workspace, "wide.txt"), `${"x".repeat(1000)}\n`.repeat(100));
  const { content } = await read.call({ path: "wide.txt" });
  expect(content).toMatch(/\[Lines 1-51 of 100\. Continue with offset 52\.\]$/);
  expect(Buffer.byteLength(content)).toBeLessThan(52_000);
  writeFileSync(path.join(read.workspace, "one-line.json"), `${"é".repeat(60_000)}\nend`);
  const cut = (await read.call({ path: "one-line.json" })).content;
  expect(cut).toMatch(/\[Line 1 is longer than 50 KB and was cut\. Continue with offset 2\.\]$/);
  expect(cut).not.toContain("\uFFFD");
});

test("a binary file is said to be one and never poured out", async () => {
  await using read = await bench("read");
  writeFileSync(path.join(read.workspace, "x.png"), Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2]));
  writeFileSync(path.join(read.workspace, "x.bin"), Buffer.from([65, 0, 66]));
  writeFileSync(path.join(read.workspace, "latin1.txt"), Buffer.from([0x63, 0x61, 0x66, 0xe9]));
  writeFileSync(path.join(read.workspace, "empty"), "");
  expect((await read.call({ path: "x.png" })).content).toBe(
    '"x.png" (7 bytes) is a PNG image, so it is not shown.',
  );
  expect((await read.call({ path: "x.bin" })).content).toMatch(/\(3 bytes\) is a binary file/);
  expect((await read.call({ path: "latin1.txt" })).content).toMatch(/no UTF-8 text/);
  expect((await read.call({ path: "empty" })).content).toBe('"empty" is empty.');
});

test("a file of many megabytes is paged like any other", async () => {
  await using read = await bench("read");
  const line = (number: number) => `line ${number} ${"é".repeat(20)}`;
  const count = 300_000;
  writeFileSync(
    path.join(read.workspace, "huge.log"),
    Array.from({ length: count }, (_, index) => line(index + 1)).join("\n"),
  );
  const first = (await read.call({ path: "huge.log" })).content.split("\n");
  expect(first[0]).toBe(line(1));
  const [, next = ""] = /Continue with offset (\d+)\.\]$/.exec(first.at(-1) ?? "") ?? [];
  expect(first[Number(next) - 2]).toBe(line(Number(next) - 1));
  expect((await read.call({ path: "huge.log", offset: Number(next), limit: 1 })).content).toBe(
    `${line(Number(next))}\n[Lines ${next}-${next} of a very long file. Continue with offset ${Number(next) + 1}.]`,
  );
  expect((await read.call({ path: "huge.log", offset: count - 1 })).content).toBe(
    `${line(count - 1)}\n${line(count)}\n[Lines ${count - 1}-${count} of ${count}.]`,
  );
  expect((await read.call({ path: "huge.log", offset: count + 1 })).content).toMatch(
    /past the end: the file has 300000 lines/,
  );
  writeFileSync(path.join(read.workspace, "huge.bin"), Buffer.alloc(11 * 1024 * 1024));
  expect((await read.call({ path: "huge.bin" })).content).toMatch(/\(11534336 bytes\) is a binary file/);
});

test("text of Windows programs and files of empty lines are shown", async () => {
  await using read = await bench("read");
  writeFileSync(path.join(read.workspace, "wide.txt"), Buffer.from("\uFEFFhéllo\r\n", "utf16le"));
  expect((await read.call({ path: "wide.txt" })).content.trim()).toBe("héllo");
  writeFileSync(path.join(read.workspace, "blank"), "\n\n");
  expect((await read.call({ path: "blank" })).content).toBe("[2 empty lines.]");
});

test("a long folder comes in pages too", async () => {
  await using read = await bench("read");
  for (let index = 1; index <= 5; index += 1) writeFileSync(path.join(read.workspace, `f${index}`), "");
  expect((await read.call({ path: ".", offset: 2, limit: 2 })).content).toBe(
    '"." is a folder with 5 entries:\nf2  0\nf3  0\n[Entries 2-3 of 5. Continue with offset 4.]',
  );
});

test("where a link leads to outside is not told", async () => {
  await using read = await bench("read");
  symlinkSync("/etc/passwd", path.join(read.workspace, "link"));
  const { content } = await read.call({ path: "link" });
  expect(content).toMatch(/^"link" goes through a symbolic link that leaves the workspace/);
  expect(content).not.toContain("/etc");
});

test("a folder is listed", async () => {
  await using read = await bench("read");
  mkdirSync(path.join(read.workspace, "src"));
  writeFileSync(path.join(read.workspace, "src/a.ts"), "12345");
  mkdirSync(path.join(read.workspace, "src/lib"));
  expect((await read.call({ path: "src" })).content).toBe('"src" is a folder with 2 entries:\na.ts  5\nlib/');
  expect((await read.call({ path: "." })).content).toBe('"." is a folder with 1 entry:\nsrc/');
});

test("what cannot be read is an answer with the reason", async () => {
  await using read = await bench("read");
  expect(await read.call({ path: "nope.txt" })).toMatchObject({
    isError: true,
    details: { code: "NOT_FOUND" },
  });
  expect(await read.call({ path: "/etc/passwd" })).toMatchObject({
    isError: true,
    details: { code: "PATH_OUTSIDE_WORKSPACE" },
  });
  expect(await read.call({})).toMatchObject({ isError: true });
});
