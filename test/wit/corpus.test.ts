import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import json5 from "json5";
import { beforeAll, describe, expect, test } from "vitest";
import { builtProduct } from "../support/build.ts";
import { live, openLanes, place } from "../plugins/lanes/setup.ts";
import { root, versions } from "./wit.ts";

interface Archived {
  readonly file: string;
  readonly sha256: string;
  readonly calls: readonly { readonly tool: string; readonly params: object; readonly answer: object }[];
}

const folder = path.join(root, "test/fixtures/wit-corpus");
const corpus = json5.parse<readonly Archived[]>(readFileSync(path.join(folder, "corpus.json5"), "utf8"));

beforeAll(builtProduct, 120_000);

describe.each(corpus)("$file", ({ file, sha256, calls }) => {
  const bytes = readFileSync(path.join(folder, file));

  test("is what was archived", () => {
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    expect(bytes.length).toBeLessThan(10_240);
  });

  test("answers in the lanes of today as it did", async () => {
    const { lanes, troubles } = await openLanes();
    const tools = [...new Set(calls.map(({ tool }) => tool))];
    const rclaw = await live(lanes, "wasm", path.join(folder, file), {
      id: "archived",
      contributes: { tools },
    });
    const { signal } = rclaw.context;
    for (const { tool, params, answer } of calls)
      expect(await rclaw.context.tools.call(tool, params, { ...place, signal })).toEqual(answer);
    expect(troubles).toEqual([]);
  }, 60_000);
});

test("every released version has guests of both kinds, and every archived file is listed", () => {
  const files = corpus.map(({ file }) => file);
  expect(
    readdirSync(folder)
      .filter((name) => name.endsWith(".wasm"))
      .toSorted(),
  ).toEqual(files.toSorted());
  for (const version of versions)
    for (const kind of ["core", "direct", "reactor"])
      expect(files).toContain(`${kind}-${version.slice("since-v".length)}.wasm`);
});
