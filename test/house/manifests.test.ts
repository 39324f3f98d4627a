import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Plugin } from "@rclaw/plugin-sdk";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import { entriesOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { describe, expect, test } from "vitest";
import { contributed, createCatalog, kinds } from "../../kernel/plugins/catalog.ts";
import { discoverBuiltIns, parseManifest } from "../../kernel/plugins/discover.ts";
import { loadModule } from "../../kernel/runtime/in-process.ts";
import { recipeOf } from "../../scripts/guests.mjs";

const root = path.resolve(import.meta.dirname, "../..");
const wings = ["channels", "providers", "services", "tools"] as const;

const manifests = wings.flatMap((wing) =>
  readdirSync(path.join(root, "manifests", wing)).map((name) => {
    const file = path.join(root, "manifests", wing, name);
    return { wing, name, file, manifest: parseManifest(readFileSync(file, "utf8"), file) };
  }),
);
const entryOf = (wing: string, id: string): string => path.join(root, "plugins", wing, id, "index.ts");
/** Guests are written in other languages; test/plugins/<id>.test.ts asks them what they offer. */
const isGuest = ({ manifest }: (typeof manifests)[number]): boolean => manifest.runtime === "wasm";

test("every plugin folder has its manifest and every manifest its folder, in the same wing", () => {
  const declared = manifests.map(({ wing, name }) => `${wing}/${path.basename(name, ".json5")}`);
  const there = wings.flatMap((wing) =>
    readdirSync(path.join(root, "plugins", wing)).map((id) => `${wing}/${id}`),
  );
  expect(declared.toSorted()).toEqual(there.toSorted());
  expect(readdirSync(path.join(root, "manifests")).toSorted()).toEqual([...wings]);
  expect(readdirSync(path.join(root, "plugins")).toSorted()).toEqual([...wings]);
});

test("no manifest says a thing twice: the parser would keep the last and drop the first", () => {
  const twice = manifests.flatMap(({ name, file }) => {
    const open: Set<string>[] = [new Set()];
    const found: string[] = [];
    for (const line of readFileSync(file, "utf8").split("\n")) {
      // Formatted, every key stands on a line of its own or in an object on one line.
      const key = /^\s*("[^"]+"|[\w$]+):/.exec(line)?.[1];
      if (key !== undefined && open.at(-1)?.has(key)) found.push(`${name}: ${key}`);
      if (key !== undefined) open.at(-1)?.add(key);
      for (const bracket of line.replaceAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "").matchAll(/[[\]{}]/g)) {
        if (bracket[0] === "{" || bracket[0] === "[") open.push(new Set());
        else open.pop();
      }
    }
    return found;
  });
  expect(twice).toEqual([]);
});

test.each(manifests)(
  "$wing/$name is named like its id and points to its own folder",
  ({ wing, name, manifest }) => {
    expect(`${manifest.id}.json5`).toBe(name);
    const folder = `plugins/${wing}/${manifest.id}`;
    const { entry, wasm } = entriesOf(manifest);
    if (wasm !== undefined) expect(wasm).toBe(`${folder}/${manifest.id}.wasm`);
    if (entry !== wasm) {
      expect(entry).toBe(`${folder}/index.js`);
      expect(existsSync(entryOf(wing, manifest.id))).toBe(true);
    } else if (recipeOf(path.join(root, folder)).optional !== true)
      expect(existsSync(path.join(root, entry))).toBe(true);
  },
);

test("discovery takes every one of them, and no two claim the same", async () => {
  const { found, refused } = await discoverBuiltIns(root);
  expect(refused).toEqual([]);
  expect(found).toHaveLength(manifests.length);
  expect(createCatalog(found, { methods: [], routes: [] }).conflicts).toEqual(new Map());
});

describe("what a manifest declares is really there", () => {
  const plugins = manifests.filter(({ manifest }) => !manifest.contributes.services);

  const inProcess = plugins.filter((found) => !isGuest(found));

  test.each(inProcess)("$wing/$name registers all of it and nothing else", async ({ wing, manifest }) => {
    const plugin = (await loadModule(entryOf(wing, manifest.id))) as Plugin;
    const config = manifest.configSchema ? withDefaults(manifest.configSchema, exampleOf(manifest)) : {};
    // With its manifest the context refuses what is not declared.
    await using rclaw = createTestContext({ id: manifest.id, manifest, config });
    await rclaw.activate(plugin);
    for (const kind of kinds) {
      if (kind === "services") continue;
      const registered = [...rclaw.contributions[kind].keys()];
      expect(registered.toSorted(), kind).toEqual(contributed(manifest, kind).toSorted());
    }
  });

  test.each(plugins)("$wing/$name says what a person needs to judge it", ({ manifest }) => {
    expect(manifest.description).toMatch(/^[A-Z].*\.$/);
    // A secret that is asked for needs a question people understand.
    const properties = (manifest.configSchema?.["properties"] ?? {}) as Record<
      string,
      Record<string, unknown>
    >;
    const nameless = Object.entries(properties).filter(
      ([, value]) => value["writeOnly"] === true && value["x-ask"] !== false && !value["title"],
    );
    expect(nameless).toEqual([]);
  });

  const services = manifests.filter(({ manifest }) => manifest.contributes.services);

  test.each(services)("$wing/$name is the service that it says", async ({ wing, manifest }) => {
    const { name, service } = (await loadModule(entryOf(wing, manifest.id))) as {
      name: string;
      service: Record<string, unknown>;
    };
    expect(manifest.contributes).toEqual({ services: [name] });
    expect(Object.values(service).filter((part) => typeof part !== "function")).toEqual([]);
  });
});

function exampleOf({ configSchema }: { configSchema?: Readonly<Record<string, unknown>> }): unknown {
  const examples = configSchema?.["examples"];
  return Array.isArray(examples) ? examples[0] : {};
}
