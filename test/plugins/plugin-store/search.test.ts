import path from "node:path";
import { expect, test } from "vitest";
import { discoverBuiltIns } from "../../../kernel/plugins/discover.ts";
import { store } from "./store.support.ts";

const row = (id: string, more: object = {}) => ({
  id,
  name: id,
  description: `What ${id} does.`,
  source: `npm:${id}`,
  version: "1.0.0",
  keywords: [],
  contributes: [],
  ...more,
});
const index = (...plugins: object[]) => store.readIndex(JSON.stringify({ indexVersion: 1, plugins }));
const found = (query: string, of: ReturnType<typeof index>) => store.search(query, of).map(({ id }) => id);

test("the built-ins that can be chosen are an index, and it is one that is taken", async () => {
  const { found: plugins } = await discoverBuiltIns(path.resolve(import.meta.dirname, "../../.."));
  const builtIn = store.builtInIndex(plugins, "0.1.0");
  expect(store.readIndex(JSON.stringify(builtIn))).toEqual(builtIn);
  expect(builtIn.plugins.map(({ id }) => id)).toEqual(expect.arrayContaining(["telegram", "ollama"]));
  expect(builtIn.plugins.map(({ id }) => id)).not.toContain("egress");
  expect(found("telegrm", builtIn)[0]).toBe("telegram");
  expect(found("channel telegram", builtIn)).toEqual(expect.arrayContaining(["telegram"]));
});

test("the id comes before the name, a word before a part of it, and every word narrows", () => {
  const plugins = index(
    row("notes", { description: "Keeps weather notes." }),
    row("weather-radar", { keywords: ["rain"] }),
    row("weather"),
    row("sky", { name: "Weather" }),
  );
  expect(found("weather", plugins)).toEqual(["weather", "weather-radar", "sky", "notes"]);
  expect(found("weather rain", plugins)).toEqual(["weather-radar"]);
  expect(found("wether", plugins)).toContain("weather");
  expect(found("", plugins)).toHaveLength(4);
  expect(found("submarine", plugins)).toEqual([]);
});

test("what is no index is refused with the reason", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["[", /no index of plugins/],
    [JSON.stringify({ indexVersion: 2, plugins: [] }), /indexVersion/],
    [JSON.stringify({ indexVersion: 1, plugins: [row("../x")] }), /pattern/],
    [JSON.stringify({ indexVersion: 1, plugins: [row("a"), row("a")] }), /same id/],
    [JSON.stringify({ indexVersion: 1, plugins: [row("a", { digest: "md5" })] }), /digest/],
    ["x".repeat(9_000_000), /larger than/],
  ];
  for (const [text, why] of cases) expect(() => store.readIndex(text)).toThrow(why);
});
