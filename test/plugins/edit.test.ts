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
  await edit.call({ path: "win.txt", oldText: "three", newText: "3\n4" });
  expect(readFileSync(file, "utf8")).toBe("\uFEFF1\r\n2\r\n3\r\n4\r\n");
});

test("text copied with other line ends is found", () => {
  expect(replaceOnce("a\nb\n", "a\r\nb", "x\r\ny")).toMatchObject({ text: "x\ny\n" });
  expect(replaceOnce("a\r\nb\nc\n", "b\nc", "x\ny")).toMatchObject({ text: "a\r\nx\ny\n" });
  expect(replaceOnce("a\n", "a", "x\r\ny")).toMatchObject({ text: "x\r\ny\n" });
});

test("the same characters in another form of Unicode are found, and the rest of the file keeps its form", () => {
  expect(replaceOnce("1 café, 2 the\u0301", "café,", "tea,")).toMatchObject({
    text: "1 tea, 2 the\u0301",
  });
  expect(replaceOnce("cafe\u0301 noe\u0308l", "caf\u00E9", "tea")).toMatchObject({ text: "tea noe\u0308l" });
  expect(replaceOnce("caf\u00E9", "cafe\u0301", "tea")).toMatchObject({ text: "tea" });
  // Half a character is not the same character.
  expect(replaceOnce("cafe\u0301", "cafe", "tea")).toMatchObject({ text: "tea\u0301" });
  expect(replaceOnce("e\u0301 e\u0301", "\u00E9", "e")).toMatchObject({
    problem: expect.stringMatching(/2 times \(line 1\)/),
  });
});

test("typographic quotes are not the same text, but the answer says where they are", () => {
  expect(replaceOnce("x\nit\u2019s \u201Cfine\u201D\n", 'it\'s "fine"', "ok")).toMatchObject({
    problem: expect.stringMatching(/line 2 with other quotes, dashes or spaces/),
  });
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
