import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { manifest, store } from "./store.support.ts";

const diff = store.diffManifests;
const permissions = (value: object) => manifest({ permissions: value });

/** From, to, and what of it is more. */
const cases: readonly (readonly [string, object, object, readonly string[], readonly string[]])[] = [
  ["an order", { net: ["a.org", "b.org"] }, { net: ["b.org", "a.org"] }, [], []],
  ["a host", { net: ["a.org"] }, { net: ["a.org", "b.org"] }, ["permission net: b.org"], []],
  ["a host less", { net: ["a.org", "b.org"] }, { net: ["a.org"] }, [], ["permission net: b.org"]],
  ["a host that a wildcard had", { net: ["*.a.org"] }, { net: ["x.a.org"] }, [], ["permission net: *.a.org"]],
  ["a wildcard", { net: ["x.a.org"] }, { net: ["*.a.org"] }, ["permission net: *.a.org"], []],
  ["the domain itself", { net: ["*.a.org"] }, { net: ["*.a.org", "a.org"] }, ["permission net: a.org"], []],
  [
    "another port",
    { net: ["a.org:8080"] },
    { net: ["a.org:8081"] },
    ["permission net: a.org:8081"],
    ["permission net: a.org:8080"],
  ],
  [
    "a port where there was none",
    { net: ["a.org"] },
    { net: ["a.org", "a.org:443"] },
    ["permission net: a.org:443"],
    [],
  ],
  [
    "a host of the settings",
    { net: ["a.org"] },
    { net: ["a.org", "config:baseUrl"] },
    ["permission net: config:baseUrl"],
    [],
  ],
  [
    "a method",
    { net: [{ host: "a.org", methods: ["GET"] }] },
    { net: [{ host: "a.org", methods: ["GET", "POST"] }] },
    ["permission net: a.org with methods POST"],
    [],
  ],
  [
    "methods of any",
    { net: ["a.org"] },
    { net: [{ host: "a.org", methods: ["GET"] }] },
    [],
    ["permission net: a.org"],
  ],
  [
    "any of a method",
    { net: [{ host: "a.org", methods: ["GET"] }] },
    { net: ["a.org"] },
    ["permission net: a.org"],
    [],
  ],
  [
    "a path below one",
    { net: [{ host: "a.org", paths: ["/v1/*"] }] },
    { net: [{ host: "a.org", paths: ["/v1/x"] }] },
    [],
    ["permission net: a.org with paths /v1/*"],
  ],
  [
    "a path beside one",
    { net: [{ host: "a.org", paths: ["/v1/*"] }] },
    { net: [{ host: "a.org", paths: ["/v1/*", "/v2"] }] },
    ["permission net: a.org with paths /v2"],
    [],
  ],
  [
    "a condition nobody knows",
    { net: [{ host: "a.org", when: "day" }] },
    { net: [{ host: "a.org", when: "ever" }] },
    ['permission net: a.org with when "ever"'],
    ['permission net: a.org with when "day"'],
  ],
  ["a secret", { secrets: ["a.x"] }, { secrets: ["a.*"] }, ["permission secrets: a.*"], []],
  [
    "a secret that was in another",
    { secrets: ["a.*"] },
    { secrets: ["a.x"] },
    [],
    ["permission secrets: a.*"],
  ],
  [
    "a host for a secret",
    { secrets: [{ name: "a", hosts: ["a.org"] }] },
    { secrets: [{ name: "a", hosts: ["a.org", "b.org"] }] },
    ["permission secrets: a with hosts b.org"],
    [],
  ],
  [
    "a secret bound to hosts",
    { secrets: ["a"] },
    { secrets: [{ name: "a", hosts: ["a.org"] }] },
    ["permission secrets: a with hosts a.org"],
    ["permission secrets: a"],
  ],
  ["every tool", { tools: ["read"] }, { tools: ["*"] }, ["permission tools: *"], []],
  ["writing sessions", { sessions: "read" }, { sessions: "write" }, ["permission sessions: write"], []],
  ["reading sessions", { sessions: "write" }, { sessions: "read" }, [], ["permission sessions: write"]],
  ["no sessions at all", {}, { sessions: "none" }, [], []],
  ["programs", { process: false }, { process: true }, ["permission process: yes"], []],
  ["a kind of tomorrow", {}, { camera: { front: true } }, ['permission camera: {"front":true}'], []],
];

test.each(cases)("%s is seen for what it is", (_what, from, to, widened, narrowed) => {
  expect(diff(permissions(from), permissions(to))).toEqual({
    widened,
    narrowed,
    unchanged: widened.length + narrowed.length === 0,
  });
});

test.each([
  ["contributes.tools", { contributes: { tools: ["weather", "storm"] } }, ["tool storm"]],
  [
    "contributes.hooks",
    { contributes: { tools: ["weather"], hooks: ["message_sent"] } },
    ["hook message_sent"],
  ],
  ["contributes.routes", { contributes: { tools: ["weather"], routes: ["GET /x/*"] } }, ["route GET /x/*"]],
  [
    "contributes.commands",
    { contributes: { tools: ["weather"], commands: { sky: "Shows it." } } },
    ["command sky"],
  ],
  [
    "contributes.methods",
    { contributes: { tools: ["weather"], methods: { "a.b": "operator.read" } } },
    ["method a.b for operator.read"],
  ],
  ["runtime", { runtime: "worker" }, ["runs as worker"]],
  ["entry", { entry: "index.js" }, ["has nothing that runs as wasm"]],
  ["activation", { activation: ["startup"] }, ["starts by itself: startup"]],
  ["configPath", { configPath: "channels.telegram" }, ["reads the settings at channels.telegram"]],
])("%s counts as well", (_what, more, widened) => {
  expect(diff(manifest(), manifest(more)).widened).toEqual(widened);
  expect(diff(manifest(more), manifest()).narrowed).toEqual(widened);
});

test("an entry that has a wasm file beside its JavaScript can still be caged", () => {
  const both = manifest({ entry: { js: "index.js", wasm: "plugin.wasm" } });
  expect(diff(manifest(), both).unchanged).toBe(true);
  expect(diff(both, manifest({ entry: "index.js" })).widened).toEqual(["has nothing that runs as wasm"]);
});

test("a hook with a filter sees less, a method for more people is more", () => {
  const hooks = (...list: unknown[]) => manifest({ contributes: { hooks: list } });
  const some = { name: "before_tool_call", filter: { toolName: ["exec"] } };
  const more = { name: "before_tool_call", filter: { toolName: ["exec", "read"] } };
  expect(diff(hooks("before_tool_call"), hooks(some)).widened).toEqual([]);
  expect(diff(hooks(some), hooks("before_tool_call")).widened).toEqual(["hook before_tool_call"]);
  expect(diff(hooks(more), hooks(some)).widened).toEqual([]);
  expect(diff(hooks(some), hooks(more)).widened).toHaveLength(1);
  const method = (scope: string) => manifest({ contributes: { methods: { "a.b": scope } } });
  expect(diff(method("operator.admin"), method("operator.read")).widened).toEqual([
    "method a.b for operator.read",
  ]);
  expect(diff(method("operator.read"), method("operator.admin")).widened).toEqual([]);
});

describe("whatever the manifests", () => {
  const host = fc.constantFrom(
    "a.org",
    "b.a.org",
    "c.b.a.org",
    "*.a.org",
    "*.b.a.org",
    "a.org:81",
    "*.a.org:81",
    "b.a.org:81",
  );
  const methods = fc.uniqueArray(fc.constantFrom("GET", "POST", "PUT"), { minLength: 1 });
  const paths = fc.uniqueArray(fc.constantFrom("/*", "/v1/*", "/v1/a", "/v1/a*", "/v2"), { minLength: 1 });
  const net = fc.array(fc.oneof(host, fc.record({ host, methods, paths }, { requiredKeys: ["host"] })), {
    maxLength: 4,
  });
  const name = fc.constantFrom("x", "x.a", "x.b", "x.*", "y.*");
  const hosts = fc.uniqueArray(host, { minLength: 1, maxLength: 3 });
  const secrets = fc.array(fc.oneof(name, fc.record({ name, hosts })), { maxLength: 3 });
  const tools = fc.uniqueArray(fc.constantFrom("*", "read", "write"));
  const sessions = fc.constantFrom("none", "read", "write");
  const asked = fc.record({ net, secrets, tools, sessions, process: fc.boolean() }, { requiredKeys: [] });
  const any = fc
    .tuple(asked, fc.constantFrom("wasm", "worker", "in-process"))
    .map(([value, runtime]) => manifest({ permissions: value, runtime }));

  test("nothing is no change, and what one gains going there it loses coming back", () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        expect(diff(a, a)).toEqual({ widened: [], narrowed: [], unchanged: true });
        expect(diff(a, b).widened).toEqual(diff(b, a).narrowed);
      }),
    );
  });

  test("two steps that are no more are no more together", () => {
    const one = fc.oneof(
      net.map((value) => permissions({ net: value.slice(0, 1) })),
      secrets.map((value) => permissions({ secrets: value.slice(0, 1) })),
    );
    let steps = 0;
    fc.assert(
      fc.property(one, one, one, (a, b, c) => {
        if (diff(a, b).widened.length > 0 || diff(b, c).widened.length > 0) return;
        steps += 1;
        expect(diff(a, c).widened).toEqual([]);
      }),
      { numRuns: 4_000 },
    );
    expect(steps).toBeGreaterThan(20);
  });

  /** An independent reading of the same words, as egress reads them. */
  const requests = ["a.org", "b.a.org", "c.b.a.org", "d.org"].flatMap((at) =>
    [80, 81].flatMap((port) =>
      ["GET", "POST", "PUT"].flatMap((method) =>
        ["/", "/v1/a", "/v1/ab", "/v1/b", "/v2"].map((file) => ({ at, port, method, file })),
      ),
    ),
  );
  type Request = (typeof requests)[number];
  type Grant = string | { host: string; methods?: string[]; paths?: string[] };
  const isAllowed = (grants: readonly Grant[], { at, port, method, file }: Request): boolean =>
    grants.some((grant) => {
      const {
        host: pattern,
        methods: verbs,
        paths: files,
      } = typeof grant === "string" ? ({ host: grant } as Exclude<Grant, string>) : grant;
      const [name = "", number = "80"] = pattern.split(":");
      const isHost = name.startsWith("*") ? at.endsWith(name.slice(1)) : at === name;
      const isPath = (text: string): boolean =>
        text.endsWith("*") ? file.startsWith(text.slice(0, -1)) : file === text;
      return (
        isHost &&
        Number(number) === port &&
        (verbs?.includes(method) ?? true) &&
        (files?.some(isPath) ?? true)
      );
    });

  test("a request that only the newer one may make is never called no change", () => {
    fc.assert(
      fc.property(net, net, (before, after) => {
        const more = requests.filter(
          (request) => isAllowed(after as Grant[], request) && !isAllowed(before as Grant[], request),
        );
        if (more.length > 0)
          expect(diff(permissions({ net: before }), permissions({ net: after })).widened).not.toEqual([]);
      }),
      { numRuns: 3_000 },
    );
  });

  test("no data at all makes it fail", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.jsonValue(), fc.jsonValue(), (a, b, p, q) => {
        diff(a, b);
        diff({ permissions: p, contributes: q, entry: a }, { permissions: q, contributes: p, runtime: b });
      }),
    );
  });
});
