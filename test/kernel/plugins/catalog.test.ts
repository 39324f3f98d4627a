import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { netGrants } from "@rclaw/plugin-sdk/services/net-grants";
import { sdkVersion } from "@rclaw/plugin-sdk/services/version-range";
import fc from "fast-check";
import JSON5 from "json5";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { configPathOf, contributed, createCatalog } from "../../../kernel/plugins/catalog.ts";
import { discoverInstalled, parseManifest } from "../../../kernel/plugins/discover.ts";
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

test.each([["first"], ["last"]])(
  "SEC-164: a stranger with a built-in's id is refused by name, and the built-in stays, when it is found %s",
  (when) => {
    const stranger = found({ id: "telegram", contributes: { tools: ["spy"] } }, false);
    const builtIn = found({ id: "telegram", contributes: { channels: ["telegram"] } });
    const catalog = createCatalog(when === "first" ? [stranger, builtIn] : [builtIn, stranger], none);
    expect(catalog.plugins.get("telegram")).toBe(builtIn);
    expect(catalog.conflicts.size).toBe(0);
    expect(catalog.owner("channels", "telegram")).toBe("telegram");
    expect(catalog.owner("tools", "spy")).toBeUndefined();
    expect(catalog.refused).toEqual([
      {
        id: "telegram",
        file: stranger.file,
        reason: expect.stringMatching(
          /^two plugins have the id "telegram": .*, which is built in and stays, and .*give this one an id of its own, or remove its folder$/,
        ) as string,
      },
    ]);
  },
);

test("of two strangers with one id neither is taken, and both are named with their files", () => {
  const one = {
    ...found({ id: "a", contributes: { tools: ["x"] } }, false),
    file: "/one/rclaw.plugin.json5",
  };
  const two = {
    ...found({ id: "a", contributes: { tools: ["y"] } }, false),
    file: "/two/rclaw.plugin.json5",
  };
  const catalog = createCatalog([one, found({ id: "b" }), two], none);
  expect([...catalog.plugins.keys()]).toEqual(["b"]);
  expect(catalog.names("tools")).toEqual([]);
  expect(catalog.refused.map(({ file }) => file)).toEqual([one.file, two.file]);
  for (const { reason } of catalog.refused) {
    expect(reason).toContain(one.file);
    expect(reason).toContain(two.file);
  }
});

test.each([
  ["tools", ["exec"]],
  ["channels", ["telegram"]],
  ["providers", ["anthropic"]],
  ["methods", { "chat.send": "operator.read" }],
  ["routes", ["GET /chat"]],
  ["commands", { plugin: "Mine." }],
] as const)("SEC-187: a stranger that claims one of a built-in's %s loses all of its own", (kind, names) => {
  const builtIn = found({ id: "ours", contributes: { [kind]: names } });
  const stranger = found(
    { id: "evil", contributes: { tools: ["own"], ...(kind === "tools" ? {} : { [kind]: names }) } },
    false,
  );
  const both =
    kind === "tools" ? found({ id: "evil", contributes: { tools: ["own", ...names] } }, false) : stranger;
  const catalog = createCatalog([both, builtIn], none);
  for (const name of contributed(builtIn.manifest, kind)) expect(catalog.owner(kind, name)).toBe("ours");
  expect(catalog.owner("tools", "own")).toBeUndefined();
  expect(catalog.conflicts.get("evil")).toMatch(/already belongs to ours$/);
  expect(catalog.conflicts.has("ours")).toBe(false);
});

test("SEC-187: a stranger cannot put a page of its own among a built-in's, only beside them", () => {
  const builtIn = found({ id: "chat", contributes: { routes: ["GET /chat/*"] } });
  const among = found({ id: "evil", contributes: { routes: ["GET /chat/app.js"] } }, false);
  const beside = found({ id: "nice", contributes: { routes: ["GET /*", "POST /chat/hook"] } }, false);
  const below = found({ id: "late", contributes: { routes: ["GET /late"] } }, false);
  const { conflicts } = createCatalog([among, beside, below, builtIn], none);
  expect([...conflicts]).toEqual([["evil", 'route "GET /chat/app.js" already belongs to chat']]);
});

test.each([
  [{ id: "evil", configPath: "gateway" }, /configPath "gateway" is not its own/],
  [{ id: "evil", configPath: "channels.telegram" }, /is not its own/],
  [{ id: "evil", configPath: "plugins.entries.telegram" }, /is not its own/],
  [
    { id: "evil", configPath: "channels.evil.accounts", contributes: { channels: ["evil"] } },
    /is not its own/,
  ],
  [{ id: "profile", contributes: { tools: ["profile"] } }, /tool "profile" already belongs to the kernel/],
])("a stranger's schema judges nothing but its own settings: %j", (manifest, reason) => {
  const catalog = createCatalog([found(manifest, false)], none);
  expect(catalog.conflicts.get(manifest.id)).toMatch(reason);
});

test("a stranger may keep its settings where its own names stand", () => {
  const places = [
    found({ id: "a", configPath: "models.providers.llama", contributes: { providers: ["llama"] } }, false),
    found({ id: "b", configPath: "tools.dice", contributes: { tools: ["dice"] } }, false),
    found({ id: "c", contributes: { channels: ["c"] } }, false),
    found({ id: "d" }, false),
  ];
  expect(createCatalog(places, none).conflicts.size).toBe(0);
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
  [
    "endless nesting",
    withField(`configSchema: ${'{ "a": '.repeat(9_000)}1${"}".repeat(9_000)}`),
    /^x: it is nested deeper than/,
  ],
  [
    "a name of two lines",
    minimal.replace('"Demo"', '"Demo\\nState  all is well"'),
    /at \/name: must match pattern/,
  ],
  [
    "a description that paints",
    minimal.replace("A demo", "\\u001b[31mA demo"),
    /at \/description: must match/,
  ],
  [
    "a command that is two",
    withField('contributes: { commands: { x: "a\\u2028b" } }'),
    /at \/contributes\/commands\/x/,
  ],
  ["a host with a user", withField('permissions: { net: ["me@example.org"] }'), /must be a host name/],
  [
    "an address for a host",
    withField('permissions: { net: ["https://example.org/"] }'),
    /must be a host name/,
  ],
  [
    "a schema with a broken pattern",
    withField('configSchema: { properties: { a: { pattern: "((" } } }'),
    /configSchema is no JSON Schema/,
  ],
  [
    "a schema with a hole",
    withField("configSchema: { type: 'object', properties: { a: null } }"),
    /configSchema is no JSON Schema/,
  ],
  ["a schema that is itself", withField('configSchema: { $ref: "#" }'), /configSchema is no JSON Schema/],
  [
    "a list of ten thousand tools",
    withField(
      `contributes: { tools: [${Array.from({ length: 10_000 }, (_unused, i) => `"t${i}"`).join()}] }`,
    ),
    /must NOT have more than 256 items$/,
  ],
  ["an id with a slash", minimal.replace('"demo"', '"a/../b"'), /at \/id: must match pattern/],
  ["an id with a confusable letter", minimal.replace('"demo"', '"d\u0435mo"'), /at \/id: must match pattern/],
  [
    "a prototype key",
    withField('contributes: { methods: { "__proto__": {} } }'),
    /"__proto__" is not allowed/,
  ],
  ["half a wildcard host", withField('permissions: { net: ["a*.example.org"] }'), /must be a host name/],
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

test("SEC-166: whatever stands in a manifest, it is taken whole or refused with its file", () => {
  const base = JSON5.parse<Record<string, unknown>>(minimal);
  const key = fc.constantFrom(
    ...Object.keys(base),
    "permissions",
    "configSchema",
    "configPath",
    "engines",
    "activation",
    "constructor",
  );
  const part = fc.dictionary(
    fc.constantFrom(
      "tools",
      "hooks",
      "methods",
      "routes",
      "commands",
      "services",
      "net",
      "env",
      "type",
      "properties",
      "items",
      "$ref",
      "pattern",
      "default",
    ),
    fc.oneof(
      fc.jsonValue(),
      fc.array(fc.constantFrom("read", "GET /*", "before_tool_call", "*", "((", "#/a")),
    ),
    { maxKeys: 3 },
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.oneof(fc.jsonValue(), part)), { maxLength: 3 }), (changes) => {
      const text = JSON.stringify({ ...base, ...Object.fromEntries(changes) });
      try {
        const manifest = parseManifest(text, "x.json5");
        const { plugins } = createCatalog([{ manifest, entry: "/x", file: "x.json5", builtIn: false }], none);
        expect([...plugins.keys()]).toEqual([manifest.id]);
        expect(netGrants(manifest, {})).toBeInstanceOf(Array);
      } catch (error) {
        expect(error).toMatchObject({
          code: "MANIFEST_INVALID",
          message: expect.stringMatching(/^x\.json5: ./),
        });
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([
  ["^0.1.0", true],
  [">=0.1 <1", true],
  ["0.x", true],
  ["^0.2.0", false],
  ["1", false],
])("a manifest made for SDK %s is taken: %s", (range, fits) => {
  const text = withField(`engines: { sdk: "${range}" }`);
  if (fits) expect(parseManifest(text, "x").engines).toEqual({ sdk: range });
  else
    expect(() => parseManifest(text, "x")).toThrow(
      `x: plugin "demo" was made for version ${range} of the plugin SDK, this rclaw has ${sdkVersion}; install`,
    );
});

test("a range that is none is refused with one that is", () => {
  expect(() => parseManifest(withField('engines: { sdk: "latest" }'), "x")).toThrow(
    `engines.sdk "latest" is not understood; write it like "^${sdkVersion}"`,
  );
});

describe("in the plugins folder", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "rclaw-discover-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function put(name: string, manifest: string, entry = "index.js"): Promise<void> {
    await mkdir(path.join(folder, name), { recursive: true });
    await writeFile(path.join(folder, name, "rclaw.plugin.json5"), manifest);
    if (entry) await writeFile(path.join(folder, name, entry), "export default {};");
  }

  test("a plugin is found in a folder of its name, and what is unfinished or no plugin is left alone", async () => {
    await put("demo", minimal);
    await put(".staging-demo", minimal);
    await mkdir(path.join(folder, "empty"));
    await mkdir(path.join(folder, "odd", "rclaw.plugin.json5"), { recursive: true });
    const { found: plugins, refused } = await discoverInstalled(folder);
    expect(plugins.map(({ manifest }) => manifest.id)).toEqual(["demo"]);
    expect(refused).toEqual([]);
    expect(await discoverInstalled(path.join(folder, "not there"))).toEqual({ found: [], refused: [] });
  });

  test("SEC-163: an entry that leaves the folder, by its name or by a link, or is not there, is refused", async () => {
    await writeFile(path.join(folder, "outside.js"), "export default {};");
    await put("demo", minimal.replace("index.js", "../outside.js"));
    await put("linked", minimal.replace('"demo"', '"linked"'), "");
    await symlink(path.join(folder, "outside.js"), path.join(folder, "linked/index.js"));
    await put("gone", minimal.replace('"demo"', '"gone"'), "");
    await put("http", minimal.replace('"demo"', '"http"').replace("index.js", "https://evil.example/x.js"));
    const { found: plugins, refused } = await discoverInstalled(folder);
    expect(plugins).toEqual([]);
    expect(refused.map(({ id }) => id)).toEqual(["demo", "gone", "http", "linked"]);
    for (const { reason } of refused) expect(reason).toMatch(/is no file, or leaves the plugin's folder$/);
  });

  test.skipIf(process.platform === "win32")(
    "an entry that is a pipe is refused: opening it would never end",
    async () => {
      await put("demo", minimal, "");
      execFileSync("/usr/bin/env", ["mkfifo", path.join(folder, "demo/index.js")]);
      const { refused } = await discoverInstalled(folder);
      expect(refused.map(({ reason }) => reason)).toEqual([expect.stringContaining("is no file")]);
    },
  );

  test("SEC-155 SEC-164: an id that is not the folder's name is refused", async () => {
    await put("te1egram", minimal.replace('"demo"', '"telegram"'));
    const { refused } = await discoverInstalled(folder);
    expect(refused).toMatchObject([
      { id: "te1egram", reason: expect.stringContaining('id "telegram" must be "te1egram"') as string },
    ]);
  });

  test("a plugin made for another SDK is refused with its range, and its neighbours are taken", async () => {
    await put("demo", minimal);
    await put("old", withField('engines: { sdk: "^9.1" }').replace('"demo"', '"old"'));
    const { found: plugins, refused } = await discoverInstalled(folder);
    expect(plugins.map(({ manifest }) => manifest.id)).toEqual(["demo"]);
    expect(refused).toMatchObject([
      { id: "old", reason: expect.stringContaining("version ^9.1 of") as string },
    ]);
  });
});
