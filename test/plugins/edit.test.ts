import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { replaceOnce } from "../../plugins/tools/edit/replace.ts";
import { bench } from "./exec.support.ts";

test("the only occurrence is replaced, under either set of names", async () => {
  await using edit = await bench("edit");
  const file = path.join(edit.workspace, "a.ts");
  writeFileSync(file, "one\ntwo\nthree\n");
  expect(await edit.call({ path: "a.ts", oldText: "two", newText: "2\n2" })).toEqual({
    content: 'Edited "a.ts" at line 2.',
    details: { path: "a.ts", line: 2, removed: 1, added: 2 },
  });
  await edit.call({ file_path: "a.ts", old_string: "three", new_string: "$& $1 3" });
  expect(readFileSync(file, "utf8")).toBe("one\n2\n2\n$& $1 3\n");
  expect(edit.tool.paths).toEqual(["path", "file_path"]);
});

test("text that occurs several times, or never, changes nothing and the answer says what to do", async () => {
  await using edit = await bench("edit");
  const file = path.join(edit.workspace, "a.ts");
  writeFileSync(file, "a\nb\na\n  call(x)\n");
  const many = await edit.call({ path: "a.ts", oldText: "a", newText: "c" });
  expect(many).toMatchObject({ isError: true });
  expect(many.content).toBe(
    '"a.ts" was not changed: oldText occurs 3 times (lines 1, 3, 4). Add lines around it until it occurs once.',
  );
  const none = await edit.call({ path: "a.ts", oldText: "\tcall(x)", newText: "c" });
  expect(none.content).toMatch(/0 matches.*first line is at line 4, so the rest or the white space differs/);
  expect((await edit.call({ path: "a.ts", oldText: "zzz", newText: "c" })).content).toMatch(
    /nowhere in the file/,
  );
  expect((await edit.call({ path: "a.ts", oldText: "", newText: "c" })).content).toMatch(/oldText is empty/);
  expect((await edit.call({ path: "a.ts", oldText: "b", newText: "b" })).content).toMatch(/the same/);
  expect((await edit.call({ path: "a.ts", oldText: "b" })).content).toBe('Missing: "newText".');
  expect(await edit.call({ path: "no.ts", oldText: "b", newText: "c" })).toMatchObject({
    isError: true,
    details: { code: "NOT_FOUND" },
  });
  expect(readFileSync(file, "utf8")).toBe("a\nb\na\n  call(x)\n");
});

test("overlapping occurrences count", () => {
  expect(replaceOnce("aaa", "aa", "b")).toMatchObject({ problem: expect.stringMatching(/2 times/) });
});

test("Windows line ends and a byte order mark are kept", async () => {
  await using edit = await bench("edit");
  const file = path.join(edit.workspace, "win.txt");
  writeFileSync(file, "\uFEFFone\r\ntwo\r\nthree\r\n");
  await edit.call({ path: "win.txt", oldText: "one\ntwo", newText: "1\n2" });
  expect(readFileSync(file, "utf8")).toBe("\uFEFF1\r\n2\r\nthree\r\n");
});

test("a file that is not text is left alone", async () => {
  await using edit = await bench("edit");
  writeFileSync(path.join(edit.workspace, "x.bin"), Buffer.from([0xff, 0xfe, 0x00]));
  expect((await edit.call({ path: "x.bin", oldText: "a", newText: "b" })).content).toMatch(/not UTF-8 text/);
});

test("edits of one file that are asked for at once all arrive", async () => {
  await using edit = await bench("edit");
  const file = path.join(edit.workspace, "many.txt");
  writeFileSync(file, Array.from({ length: 20 }, (_, index) => `<${index}>`).join("\n"));
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      edit.call({ path: "many.txt", oldText: `<${index}>`, newText: `(${index})` }),
    ),
  );
  expect(results.filter(({ isError }) => isError === true)).toEqual([]);
  expect(readFileSync(file, "utf8")).toBe(Array.from({ length: 20 }, (_, index) => `(${index})`).join("\n"));
});
