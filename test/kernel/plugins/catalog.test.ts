import { expect, test } from "vitest";
import { configPathOf, createCatalog } from "../../../kernel/plugins/catalog.ts";
import { parseManifest } from "../../../kernel/plugins/discover.ts";
import { found } from "./manifests.ts";

const none = { methods: [], routes: [] };
const minimal = `{ id: "demo", name: "Demo", description: "A demo.", runtime: "in-process", entry: "index.js", contributes: {} }`;
const withField = (field: string): string =>
  minimal.replace("contributes: {}", field.includes("contributes") ? field : `contributes: {}, ${field}`);

test("a name has one owner, and the first to declare it keeps it", () => {
  const catalog = createCatalog(
    [found({ id: "a", contributes: { tools: ["x"] } }), found({ id: "b", contributes: { tools: ["x"] } })],
    none,
  );
  expect(catalog.owner("tools", "x")).toBe("a");
  expect(catalog.conflicts.get("b")).toBe('tool "x" already belongs to a');
});

test("SEC-187: a stranger's plugin cannot shadow a built-in, whatever the order", () => {
  const catalog = createCatalog(
    [
      found({ id: "evil", contributes: { tools: ["exec"] } }, false),
      found({ id: "exec", contributes: { tools: ["exec"] } }),
    ],
    none,
  );
  expect(catalog.owner("tools", "exec")).toBe("exec");
  expect(catalog.conflicts.has("evil")).toBe(true);
});

test("SEC-187: nobody takes a method, route or command of the kernel", () => {
  const reserved = { methods: ["health"], routes: ["GET /healthz"] };
  const claims = [
    found({ id: "a", contributes: { methods: { health: "operator.read" } } }),
    found({ id: "b", contributes: { routes: ["GET /healthz"] } }),
    found({ id: "c", contributes: { commands: { gateway: "Mine now." } } }),
  ];
  expect([...createCatalog(claims, reserved).conflicts.keys()]).toEqual(["a", "b", "c"]);
});

test("two plugins with one id: the second is refused with both files named", () => {
  const catalog = createCatalog([found({ id: "a" }), found({ id: "a" }, false)], none);
  expect(catalog.conflicts.get("a")).toContain('two plugins have the id "a"');
});

test("a hook that does not exist is refused by name", () => {
  const catalog = createCatalog([found({ id: "a", contributes: { hooks: ["before_lunch"] } })], none);
  expect(catalog.conflicts.get("a")).toBe('there is no hook "before_lunch"');
});

test.each([
  [{ id: "telegram", contributes: { channels: ["telegram"] } }, "channels.telegram"],
  [{ id: "openai", contributes: { providers: ["openai", "ollama"] } }, "models.providers.openai"],
  [{ id: "exec", contributes: { tools: ["exec"] } }, "tools.exec"],
  [{ id: "weather", contributes: { tools: ["forecast"] } }, "plugins.entries.weather.config"],
  [{ id: "agent", configPath: "agents", contributes: {} }, "agents"],
])("%j keeps its configuration at %s", (manifest, expected) => {
  expect(configPathOf(found(manifest).manifest)).toBe(expected);
});

test("a manifest is JSON5 and complete", () => {
  expect(parseManifest(`// a comment\n${minimal}`, "x")).toMatchObject({ id: "demo" });
});

test.each([
  ["an unknown key", withField("surprise: 1"), /unexpected property 'surprise'/],
  ["an id with a slash", minimal.replace('"demo"', '"a/../b"'), /at \/id: must match pattern/],
  ["an id with a confusable letter", minimal.replace('"demo"', '"d\u0435mo"'), /at \/id: must match pattern/],
  [
    "a prototype key",
    withField('contributes: { methods: { "__proto__": {} } }'),
    /"__proto__" is not allowed/,
  ],
  ["a bare wildcard host", withField('permissions: { net: ["*"] }'), /must be a host name/],
  [
    "a wildcard over a whole top-level domain",
    withField('permissions: { net: ["*.com"] }'),
    /at least two labels/,
  ],
  ["an unknown permission", withField("permissions: { fs: true }"), /unexpected property 'fs'/],
  ["an unknown runtime", minimal.replace("in-process", "native"), /at \/runtime/],
  [
    "a tool name with a newline",
    withField('contributes: { tools: ["a\\nb"] }'),
    /at \/contributes\/tools\/0/,
  ],
  ["text that is no JSON5", "{ id: ", /JSON5/],
])("SEC-166: a manifest with %s is refused", (_what, text, reason) => {
  expect(() => parseManifest(text, "x")).toThrow(reason);
});
