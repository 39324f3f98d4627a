import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { ToolContext, ToolResult } from "@rclaw/plugin-sdk";
import type { TestContext } from "@rclaw/plugin-sdk/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseManifest } from "../../kernel/plugins/discover.ts";
import { createFiles } from "../../plugins/services/files/files.ts";
import { build, digestOf, folderOf } from "../../scripts/guests.mjs";
import { builtProduct } from "../support/build.ts";
import { casesOf, fits } from "../support/cases.ts";
import { closers, live, openLanes, place } from "./lanes/setup.ts";

const root = path.resolve(import.meta.dirname, "../..");
const folder = folderOf("table");
const { sources } = digestOf(folder);
const cache = path.join(root, "node_modules/.cache/rclaw-guests");
const artefact = path.join(cache, `table-${sources}.wasm`);

/** Builds it unless these sources were built before; says why it cannot. */
function skippedBecause(): string | undefined {
  if (existsSync(artefact)) return undefined;
  const { wasm, skipped } = build(folder);
  if (!wasm) return skipped;
  mkdirSync(cache, { recursive: true });
  writeFileSync(`${artefact}.${process.pid}`, wasm);
  renameSync(`${artefact}.${process.pid}`, artefact);
  return undefined;
}

const skipped = skippedBecause();
if (skipped !== undefined) console.log(`skipped: ${skipped}`);

test("its digest is of the sources beside it; if not: node scripts/guests.mjs table", () => {
  const noted = JSON.parse(readFileSync(path.join(folder, "digest.json"), "utf8")) as { sources: string };
  expect(noted.sources).toBe(sources);
});

test("where it is not built, using it says how to build it", async () => {
  const { lanes } = await openLanes();
  const entry = path.join(folder, "missing.wasm");
  const manifest = {
    id: "table",
    name: "Table",
    description: "d",
    runtime: "wasm" as const,
    entry,
    contributes: { tools: ["table"] },
  };
  await expect(
    lanes.load({ manifest, entry, wasm: entry, file: entry, builtIn: true }, "wasm"),
  ).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("node scripts/guests.mjs table"),
  });
});

describe.skipIf(skipped !== undefined)(
  `the guest in Python${skipped ? ` (skipped: ${skipped})` : ""}`,
  () => {
    const file = path.join(root, "manifests/tools/table.json5");
    const manifest = { ...parseManifest(readFileSync(file, "utf8"), file), entry: artefact };
    let workspace: string;
    let stop: () => Promise<void>;
    let rclaw: TestContext<unknown>;

    // One life for all of it: an interpreter takes a while to begin.
    beforeAll(async () => {
      await builtProduct();
      workspace = await mkdtemp(path.join(os.tmpdir(), "rclaw-table-"));
      const { lanes } = await openLanes();
      rclaw = await live(lanes, "wasm", artefact, manifest);
      const kept = closers.splice(0).toReversed();
      stop = async () => {
        for (const close of kept) await close();
        await rm(workspace, { recursive: true, force: true });
      };
    }, 180_000);
    afterAll(() => stop());

    const run = (params: object, context: Partial<ToolContext> = {}): Promise<ToolResult> =>
      rclaw.contributions.tools.get("table")!.execute(params, { ...place, ...context } as ToolContext);
    const fromWorkspace = (params: object): Promise<ToolResult> =>
      run(params, { workspace, files: createFiles(workspace) });

    test.each(casesOf(folder))("$params", async ({ params, expect: wanted }) => {
      fits(await run(params), wanted);
    });

    test("it reads a file of the workspace, whatever program wrote it", async () => {
      await writeFile(
        path.join(workspace, "old.csv"),
        Buffer.from("name;wert\r\nJ\xfcrgen;1,5\r\nAda;2,5\r\n", "latin1"),
      );
      await writeFile(
        path.join(workspace, "new.tsv"),
        Buffer.from("\ufeffname\twert\nJürgen\t4\n", "utf16le"),
      );
      expect((await fromWorkspace({ path: "old.csv", sort: "wert", ascending: true })).content).toBe(
        "2 rows, 2 columns\n\n| name | wert |\n| --- | --- |\n| Jürgen | 1.5 |\n| Ada | 2.5 |",
      );
      expect((await fromWorkspace({ path: "new.tsv", do: "rows" })).content).toContain("| Jürgen | 4 |");
    });

    test("a file that it may not or cannot read is said to the model, not taken for a fault", async () => {
      await writeFile(path.join(workspace, "huge.csv"), "a,b\n".repeat(600_000));
      await writeFile(path.join(workspace, "sheet.xlsx"), Buffer.from("PK\x03\x04\0\0"));
      const refusals = {
        "no.csv": /no\.csv/,
        "../x.csv": /workspace/,
        "huge.csv": /larger than/,
        "sheet.xlsx": /no text/,
      };
      for (const [file, why] of Object.entries(refusals)) {
        const { content, isError } = await fromWorkspace({ path: file });
        expect([isError, content]).toEqual([true, expect.stringMatching(why)]);
      }
    });

    test("the largest file that it takes fits its memory and its time", async () => {
      const rows = Array.from(
        { length: 120_000 },
        (_, index) => `${index % 97},${index % 89}.5,x${index % 83},y${index}`,
      );
      const text = `a,b,c,d\n${rows.join("\n")}`.slice(0, 1_999_000);
      await writeFile(path.join(workspace, "large.csv"), text);
      const { content, isError } = await fromWorkspace({ path: "large.csv" });
      expect([isError, content]).toEqual([
        undefined,
        expect.stringMatching(/^\d{6} rows, 4 columns[^]*\| a \| number \|/),
      ]);
    }, 60_000);
  },
);
