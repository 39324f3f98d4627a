import { expect, test } from "vitest";
import { readFrontMatter } from "../../../plugins/services/skills/front-matter.ts";

const about = async (text: string): Promise<string | undefined> => (await readFrontMatter(text)).description;

test("a description is found however it is written", async () => {
  expect(await about("---\ndescription: plain\n---\n")).toBe("plain");
  expect(await about('---\r\ndescription: "in: quotes"\r\n---\r\nText')).toBe("in: quotes");
  expect(await about("---\ndescription: >\n  over\n  lines\n---\n")).toBe("over lines");
  expect(await about("---\nname: x\ndescription: with: a colon\n---\n")).toBe("with: a colon");
  expect(await about("---\ndescription: never closed\n")).toBeUndefined();
  expect(await about("No front matter\n---\ndescription: too late\n---\n")).toBeUndefined();
});

test("metadata is taken as YAML, as JSON and as text that holds JSON5", async () => {
  const wanted = { emoji: "🍵", requires: { bins: ["pot"] } };
  for (const metadata of [
    "metadata:\n  openclaw:\n    emoji: 🍵\n    requires:\n      bins: [pot]",
    'metadata: { "openclaw": { "emoji": "🍵", "requires": { "bins": ["pot"], }, }, }',
    `metadata: "{ openclaw: { emoji: '🍵', requires: { bins: ['pot'] } } }"`,
    'name: a: b\nmetadata: {"openclaw":{"emoji":"🍵","requires":{"bins":["pot"]}}}',
  ])
    expect((await readFrontMatter(`---\n${metadata}\n---\n`)).metadata, metadata).toMatchObject(wanted);
});

test("a small file does not become a large value", async () => {
  const bomb = [
    "a: &a [x, x, x, x, x, x, x, x]",
    "b: &b [*a, *a, *a, *a, *a, *a, *a, *a]",
    "c: [*b, *b, *b, *b]",
  ];
  expect(await about(`---\n${bomb.join("\n")}\ndescription: still read\n---\n`)).toBe("still read");
});

test("what is of the wrong kind counts as nothing", async () => {
  const text =
    '---\ndescription: [1]\nmetadata: {"openclaw":{"requires":{"bins":"pot","env":[1,"A"]},"install":[{"kind":"rm"},7]}}\n---\n';
  const { description, metadata } = await readFrontMatter(text);
  expect(description).toBeUndefined();
  expect(metadata.requires).toEqual({ bins: [], anyBins: [], env: ["A"], config: [], os: [] });
  expect(metadata.install).toEqual([]);
});
