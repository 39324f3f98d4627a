import { readFileSync } from "node:fs";
import path from "node:path";
import json5 from "json5";
import { expect, test } from "vitest";
import { digestOf, sourcesOf, versions, witFolder } from "./wit.ts";

const released = json5.parse<Record<string, string>>(
  readFileSync(path.join(witFolder, "released.json5"), "utf8"),
);

function next(version: string): string {
  const [, major, minor] = /^since-v(\d+)\.(\d+)\.\d+$/.exec(version) ?? [];
  return `since-v${major}.${Number(minor) + 1}.0`;
}

test.each(Object.entries(released))("%s is what was released", (version, digest) => {
  const message = `wit/${version} is released and may not change, not even its words: guests were built for it. Add wit/${next(version)} beside it instead, with an adapter in plugins/services/lanes/versions.ts`;
  expect(versions, message).toContain(version);
  expect(digestOf(sourcesOf(version)), message).toBe(digest);
});

test("every folder of the contract is released", () => {
  expect(Object.keys(released), "add its line to wit/released.json5").toEqual(versions);
});

test("each folder holds the package's version that its name says", () => {
  for (const version of versions)
    for (const [file, text] of sourcesOf(version))
      expect(text.split("\n")[0], file).toBe(`package rclaw:plugin@${version.slice("since-v".length)};`);
});

test("a file that is changed, renamed or added is noticed", () => {
  const [version = ""] = versions;
  const sources = sourcesOf(version);
  const digest = digestOf(sources);
  const [[name, text] = ["", ""], ...rest] = sources;
  expect(digestOf(new Map([[name, text.replace(".", "")], ...rest]))).not.toBe(digest);
  expect(digestOf(new Map([[`a${name}`, text], ...rest]))).not.toBe(digest);
  expect(digestOf(new Map([...sources, ["z.wit", ""]]))).not.toBe(digest);
  expect(digestOf(new Map([[name, text], ...rest]))).toBe(digest);
});
