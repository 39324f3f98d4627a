import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { waitingVerb } from "../../plugins/services/lanes/waiting-verbs.ts";
import { root } from "./wit.ts";

const page = readFileSync(path.join(root, "docs/wit.md"), "utf8");
const calls = readFileSync(path.join(root, "plugin-sdk/boundary/calls.ts"), "utf8");
const folder = path.join(root, "node_modules/.cache/wit-methods", String(process.pid));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Cells of a section's table by the name in the first; a bar within a cell is escaped. */
function tableOf(section: string): Map<string, readonly string[]> {
  const [, text = ""] = new RegExp(`^## ${section}$(.*?)(?=^## |(?![^]))`, "ms").exec(page) ?? [];
  const lines = [...text.matchAll(/^\|(.*)\|$/gm)].slice(2);
  return new Map(
    lines.map(([, line = ""]) => {
      const [name = "", ...cells] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
      return [name.replaceAll("`", ""), cells];
    }),
  );
}

/** Names in a table of calls.ts, and those whose answer has pieces. */
function rowsOf(name: string): Map<string, { readonly hasChunk: boolean }> {
  const [, body = ""] = new RegExp(`^export interface ${name} \\{$(.*?)^\\}$`, "ms").exec(calls) ?? [];
  const rows = [
    ...body.matchAll(/^ {2}"?([\w.]+)"?: \{(.*?\}?;?)$(.*?)(?=^ {2}(?:"?[\w.]+"?: \{|\/\*\*)|(?![^]))/gms),
  ];
  return new Map(rows.map(([text, row = ""]) => [row, { hasChunk: /\bchunk:/.test(text) }]));
}

const code = (cell: string | undefined): string | undefined => /^`(.+)`$/.exec(cell ?? "")?.[1];

describe.each([
  ["Methods", "Asked"],
  ["Verbs", "Verbs"],
])("%s of docs/wit.md", (section, name) => {
  const table = tableOf(section);
  const rows = rowsOf(name);

  test(`are all of ${name}, and no others`, () => {
    expect(rows.size).toBeGreaterThan(10);
    expect([...table.keys()]).toEqual([...rows.keys()]);
  });

  test("say what pieces an answer has, where it has pieces", () => {
    for (const [row, { hasChunk }] of rows) expect(table.get(row)?.[2] !== "", row).toBe(hasChunk);
  });

  test("have examples that fit", () => {
    const lines = [...table].flatMap(([row, cells]) => {
      const example = code(cells.at(-1));
      if (example === undefined) {
        // Its body is bytes, which no JSON holds.
        expect(row).toBe("route.handle");
        return [];
      }
      return [
        `{ const example: calls.${name}["${row}"]["params"] = ${JSON.stringify(JSON.parse(example))}; void example; }`,
      ];
    });
    const place = path.join(folder, name);
    mkdirSync(place, { recursive: true });
    const from = JSON.stringify(path.join(root, "plugin-sdk/boundary/calls.ts"));
    writeFileSync(
      path.join(place, "examples.ts"),
      [`import type * as calls from ${from};`, ...lines].join("\n"),
    );
    const config = {
      extends: path.join(root, "tsconfig.base.json"),
      compilerOptions: { noEmit: true, declaration: false, sourceMap: false, types: ["node"] },
      files: ["examples.ts"],
    };
    writeFileSync(path.join(place, "tsconfig.json"), JSON.stringify(config));
    const compiler = path.join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = spawnSync(process.execPath, [compiler, "-p", place, "--pretty", "false"], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
  });
});

test("docs/wit.md says which verbs a guest that waits may ask for", () => {
  for (const [name, cells] of tableOf("Verbs")) {
    // It stands beside the table, because it carries bytes.
    const verb = name === "http.send" ? { call: undefined } : waitingVerb(name);
    const waits = cells.at(-2) ?? "";
    if (verb === undefined) expect(waits, name).toMatch(/^(?:no|action)$/);
    else expect(waits, name).toBe(verb.call ? "yes, in a tool" : "yes");
  }
});
