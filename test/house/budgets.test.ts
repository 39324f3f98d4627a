import { readFileSync } from "node:fs";
import path from "node:path";
import { errorCodes } from "@rclaw/plugin-sdk/errors";
import { manifestSchema } from "@rclaw/plugin-sdk/manifest.schema";
import { expect, test } from "vitest";
import { hookTable } from "../../kernel/hooks/table.ts";
import { kinds } from "../../kernel/plugins/catalog.ts";

const root = path.resolve(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(path.join(root, file), "utf8");

test("the SDK exports at most 40 names, and every new one is a decision", () => {
  const names = [...read("plugin-sdk/index.ts").matchAll(/\{([^}]*)\}/g)]
    .flatMap(([, list = ""]) => list.split(","))
    .map((name) => name.replace(/\btype\b/, "").trim())
    .filter(Boolean)
    .sort();
  expect(names.length).toBeLessThanOrEqual(40);
  expect(names).toMatchSnapshot();
});

test("a manifest has at most twelve keys", () => {
  expect(Object.keys(manifestSchema.properties).length).toBeLessThanOrEqual(12);
});

test("there are twenty hooks and eight kinds of contribution", () => {
  expect(Object.keys(hookTable)).toHaveLength(20);
  expect(kinds.length + 1).toBe(8);
});

test("there are at most twelve npm scripts", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  expect(Object.keys(scripts).length).toBeLessThanOrEqual(12);
});

test("every dependency is pinned exactly and has its reason in ARCHITECTURE.md", () => {
  const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
    string,
    Record<string, string>
  >;
  const all = { ...dependencies, ...devDependencies };
  expect(
    Object.entries(all).filter(([, version]) => !/^(?:npm:[a-z-]+@)?\d+\.\d+\.\d+$/.test(version)),
  ).toEqual([]);
  const reasons = read("ARCHITECTURE.md");
  expect(Object.keys(all).filter((name) => !reasons.includes(`\`${name}\``))).toEqual([]);
});

test("every error code is explained in docs/errors.md", () => {
  const docs = read("docs/errors.md");
  expect(errorCodes.filter((code) => !docs.includes(`### ${code}`))).toEqual([]);
});

test("every hook is explained in docs/hooks.md", () => {
  const docs = read("docs/hooks.md");
  expect(Object.keys(hookTable).filter((name) => !docs.includes(`\`${name}\``))).toEqual([]);
});
