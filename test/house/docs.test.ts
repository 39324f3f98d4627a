import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { errorCodes } from "@rclaw/plugin-sdk/errors";
import { manifestSchema } from "@rclaw/plugin-sdk/manifest.schema";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { describe, expect, test } from "vitest";
import { hookTable } from "../../kernel/hooks/table.ts";
import { configPathOf } from "../../kernel/plugins/catalog.ts";
import { parseManifest } from "../../kernel/plugins/discover.ts";

const root = path.resolve(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(path.join(root, file), "utf8");
const below = (folder: string, ending: string): string[] =>
  readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(ending) && !/(^|[\\/])(dist|node_modules)[\\/]/.test(file))
    .map((file) => path.posix.join(folder, file));
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "plugin-sdk/README.md",
].concat(below("docs", ".md"));

/** Rows of every table on a page, as cells. */
const rows = (text: string): string[][] =>
  [...text.matchAll(/^\|(.*)\|$/gm)]
    .map(([, line = ""]) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
    .filter(([first = ""]) => !/^-+$/.test(first));
const code = (cell: string | undefined): string | undefined => /^`([^`]+)`$/.exec(cell ?? "")?.[1];

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly default?: unknown;
  readonly writeOnly?: boolean;
}

/** Every key of a schema that holds a value, with the schema of that value. */
function* keysOf(schema: Schema, at: string): Generator<readonly [string, Schema]> {
  const properties = Object.entries(schema.properties ?? {});
  for (const [key, inner] of properties) yield* keysOf(inner, at === "" ? key : `${at}.${key}`);
  if (properties.length > 0) return;
  const { additionalProperties, patternProperties = {}, items } = schema;
  const named = Object.values(patternProperties)[0] ?? additionalProperties;
  if (typeof named === "object" && named.properties) yield* keysOf(named, `${at}.<name>`);
  else if (items?.properties) yield* keysOf(items, `${at}[]`);
  else yield [at, schema];
}

describe("docs/configuration.md", () => {
  const text = read("docs/configuration.md");
  const described = new Map(
    rows(text).flatMap(([key, value, ...rest]) => {
      const name = code(key);
      return name === undefined ? [] : [[name, { value, words: rest.join("|") }] as const];
    }),
  );
  const plugins = below("manifests", ".json5").map((file) => parseManifest(read(file), file));
  const schemas: readonly (readonly [string, string, Schema])[] = [
    ["the kernel", "", configSchema as unknown as Schema],
    ...plugins.flatMap((manifest) =>
      manifest.configSchema
        ? [[manifest.id, configPathOf(manifest), manifest.configSchema as Schema] as const]
        : [],
    ),
  ];
  /** Accepted for the sake of files that are moved over: a schema that says nothing. */
  const isIgnored = (schema: Schema): boolean => Object.keys(schema).length === 0;

  test.each(schemas)("describes every key of %s, with its default", (_owner, at, schema) => {
    for (const [key, inner] of keysOf(schema, at)) {
      if (isIgnored(inner)) {
        expect(text, `${key} is not mentioned`).toContain(`\`${key.slice(at.length + 1)}\``);
        continue;
      }
      const row = described.get(key);
      expect(row, `${key} has no row`).toBeDefined();
      const shown = inner.default === undefined ? "-" : `\`${JSON.stringify(inner.default)}\``;
      expect(row?.value, `the default of ${key}`).toBe(shown);
      expect(row?.words.includes("Secret"), `${key} is a secret or not`).toBe(inner.writeOnly === true);
    }
  });

  test("describes no key that does not exist", () => {
    const known = new Set(schemas.flatMap(([, at, schema]) => [...keysOf(schema, at)].map(([key]) => key)));
    expect([...described.keys()].filter((key) => !known.has(key))).toEqual([]);
  });
});

describe("what is built in", () => {
  const manifests = (wing: string) =>
    below(`manifests/${wing}`, ".json5").map((file) => parseManifest(read(file), file));

  test.each(["channels", "providers", "tools"])("README.md names all %s", (wing) => {
    const row = rows(read("README.md")).find(([first]) => first === wing)?.[1] ?? "";
    const ids = manifests(wing).map(({ id }) => id);
    expect(ids.filter((id) => !row.split(/[, ]+/).includes(id))).toEqual([]);
  });

  test("ARCHITECTURE.md describes every service that the kernel finds by its manifest", () => {
    const [, ...lines] =
      /^\| service .*\n((?:\|.*\n)+)/m.exec(read("ARCHITECTURE.md"))?.[1]?.split("\n") ?? [];
    const described = lines.flatMap((line) => code(line.split("|")[1]?.trim()) ?? []);
    const found = manifests("services").flatMap(({ contributes }) => contributes.services ?? []);
    expect(described.toSorted()).toEqual(found.toSorted());
  });
});

describe("docs/hooks.md", () => {
  const table = new Map(rows(read("docs/hooks.md")).map(([name, ...cells]) => [code(name) ?? "", cells]));

  test.each(Object.entries(hookTable))("says of %s what the kernel does", (name, row) => {
    const [kind, answers = "", merge = "", onFailure] = table.get(name) ?? [];
    expect(kind).toBe(row.kind);
    expect(onFailure).toBe(row.onFailure === "refuse" ? "refused" : "ignored");
    const fields = Object.keys(row.merge ?? {});
    if (name === "before_agent_start") expect(answers).toBe("all four of the above");
    else expect([...answers.matchAll(/`(\w+)`/g)].map(([, field]) => field)).toEqual(fields);
    const rules = new Set(Object.values(row.merge ?? {}));
    if (row.kind !== "modify" || name === "before_agent_start") return;
    expect(merge.includes("first wins")).toBe(rules.has("first"));
    expect(merge.includes("last wins")).toBe(rules.has("last"));
    expect(merge.includes("joined")).toBe(rules.has("join"));
    expect(/`(\w+)` ends it/.exec(merge)?.[1]).toBe(row.stopOn);
  });

  test("knows no other hooks", () => {
    const names = [...table.keys()].filter((name) => /^[a-z]+(_[a-z]+)+$/.test(name));
    expect(names.toSorted()).toEqual(Object.keys(hookTable).toSorted());
  });
});

describe("docs/errors.md", () => {
  test("explains exactly the codes there are, in their order", () => {
    const explained = [...read("docs/errors.md").matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(explained).toEqual([...errorCodes]);
  });

  test("every code is really used somewhere", () => {
    const sources = ["kernel", "plugins", "plugin-sdk"]
      .flatMap((folder) => below(folder, ".ts"))
      .filter((file) => !["plugin-sdk/errors.ts", "kernel/errors.ts"].includes(file))
      .map(read)
      .join("\n");
    expect(errorCodes.filter((name) => !sources.includes(`"${name}"`))).toEqual([]);
  });
});

describe("docs/plugins.md", () => {
  const names = new Set(
    rows(read("docs/plugins.md")).flatMap(([cell = ""]) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    ),
  );
  const { properties } = manifestSchema;

  test.each([
    ["key of the manifest", Object.keys(properties)],
    ["kind of contribution", Object.keys(properties.contributes.properties)],
    ["permission", Object.keys((properties.permissions as unknown as Schema).properties ?? {})],
  ])("explains every %s", (_what, wanted) => {
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
  });
});

describe("the pages", () => {
  test.each(pages)("%s links only to what is there", (page) => {
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link);
    const lost = links
      .filter((link) => !/^(https?:|mailto:|#)/.test(link))
      .map((link) => link.split("#"))
      .filter(([file = "", anchor]) => {
        const target = path.join(root, path.dirname(page), file);
        if (!existsSync(target)) return true;
        return anchor !== undefined && !anchors(readFileSync(target, "utf8")).includes(anchor);
      });
    expect(lost).toEqual([]);
  });

  test.each(["CONTRIBUTING.md", "plugin-sdk/README.md", ...below("docs", ".md")])(
    "%s fits the width of a screen",
    (page) => {
      const long = read(page)
        .split("\n")
        .filter((line) => line.length > 120 && !line.startsWith("|"));
      expect(long).toEqual([]);
    },
  );

  test("CONTRIBUTING.md names only files and npm scripts that exist", () => {
    const text = read("CONTRIBUTING.md");
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const run = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name = ""]) => name);
    expect(run.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
    const tests = [...text.matchAll(/vitest run (test\/[\w./-]+\.test\.ts)/g)].map(([, file = ""]) => file);
    const made = [...text.matchAll(/^`([\w./-]+)`:$/gm)].map(([, file = ""]) => file);
    expect(tests.filter((file) => !made.includes(file) && !existsSync(path.join(root, file)))).toEqual([]);
  });
});

/** What GitHub makes of a page's headings. */
function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}
