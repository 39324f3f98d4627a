import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { parseManifest } from "../../kernel/plugins/discover.ts";
import { buildPlugin } from "../../plugins/services/cli/author/build.ts";
import { openFolder } from "../../plugins/services/cli/author/folder.ts";
import { build } from "../../scripts/guests.mjs";
import { openGuest } from "../plugins/lanes/extism.support.ts";
import { casesOf, fits } from "../support/cases.ts";

const root = path.resolve(import.meta.dirname, "../..");
const templates = path.join(root, "plugin-sdk/templates");
const words: Record<string, string> = { id: "my-plugin", name: "My plugin", tool: "my_plugin" };

/** What `rclaw plugin new my-plugin` makes of a template. */
function made(language: string): string {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), "rclaw-template-")), "my-plugin");
  mkdirSync(folder);
  cpSync(path.join(templates, language), folder, { recursive: true });
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const text = readFileSync(file, "utf8").replaceAll(
      /\{\{(\w+)\}\}/g,
      (all, word: string) => words[word] ?? all,
    );
    expect(text).not.toMatch(/\{\{\w+\}\}/);
    writeFileSync(file, text);
  }
  return folder;
}

test.each(["c", "rust", "go", "assemblyscript"])(
  "a new plugin in %s builds as it is, and does what its cases say",
  async (language) => {
    const folder = made(language);
    try {
      const file = path.join(folder, "rclaw.plugin.json5");
      const manifest = parseManifest(readFileSync(file, "utf8"), file);
      expect(manifest).toMatchObject({ id: "my-plugin", runtime: "wasm", entry: "hello.wasm" });
      const { skipped } = build(folder);
      if (skipped) return console.log(`skipped: ${skipped}`);
      // As its author does it.
      rmSync(path.join(folder, "hello.wasm"), { force: true });
      await buildPlugin(await openFolder(folder), { signal: AbortSignal.timeout(200_000) });
      const wasm = readFileSync(path.join(folder, "hello.wasm"));
      await using guest = await openGuest(wasm, { id: "my-plugin" });
      const { tools } = await guest.activate();
      expect(tools.map(({ name }) => name)).toEqual(manifest.contributes.tools);
      const cases = casesOf(folder);
      expect(cases.length).toBeGreaterThan(2);
      for (const { tool, params, expect: wanted } of cases) fits(await guest.tool(tool, params), wanted);
    } finally {
      rmSync(path.dirname(folder), { recursive: true, force: true });
    }
  },
  300_000,
);

test("the guests that ship use the templates' ABI as it is", () => {
  const read = (...parts: string[]) => readFileSync(path.join(root, ...parts), "utf8");
  expect(read("plugins/tools/clock/rclaw.go")).toBe(read("plugin-sdk/templates/go/rclaw.go"));
  for (const file of ["json.rs", "rclaw.rs"])
    expect(read("plugins/tools/units/src", file)).toBe(read("plugin-sdk/templates/rust/src", file));
});
