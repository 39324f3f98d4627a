import type { Manifest } from "@rclaw/plugin-sdk";
import { checkManifest } from "@rclaw/plugin-sdk/services/manifest-check";
import { netGrants, secretBindings } from "@rclaw/plugin-sdk/services/net-grants";
import { describe, expect, test } from "vitest";
import { Lifetime } from "../../../kernel/lifetime.ts";
import { silent } from "../../../kernel/log.ts";
import { createCatalog } from "../../../kernel/plugins/catalog.ts";
import { createPluginContext, type KernelPorts } from "../../../kernel/plugins/context.ts";
import { require } from "../../../kernel/plugins/permissions.ts";
import { found } from "./manifests.ts";

type Permissions = NonNullable<Manifest["permissions"]>;

const weather = (permissions: unknown): Manifest =>
  found({ id: "weather", permissions: permissions as Permissions }).manifest;
const check = (permissions: unknown): Manifest => checkManifest(weather(permissions), "x");

describe("a manifest may say less than a host", () => {
  test.each([
    { net: ["api.example.org", { host: "*.example.org", methods: ["GET"], paths: ["/v1/*"] }] },
    { net: [{ host: "config:baseUrl" }, { host: "127.0.0.1:11434", paths: ["/"] }, "*"] },
    { secrets: ["weather.*", { name: "weather.key", hosts: ["api.example.org", "config:baseUrl"] }] },
    { secrets: [{ name: "weather.*", hosts: ["*.example.org:8443"] }] },
  ])("%j", (permissions) => {
    expect(check(permissions).permissions).toEqual(permissions);
  });

  test.each([
    { net: [{ host: "https://example.org/" }] },
    { net: [{ host: "*.com" }] },
    { net: [{ host: "example.org", methods: ["get"] }] },
    { net: [{ host: "example.org", methods: [] }] },
    { net: [{ host: "example.org", paths: ["v1"] }] },
    { net: [{ host: "example.org", paths: ["/v1?x=1"] }] },
    { net: [{ host: "example.org", paths: ["/a\\b"] }] },
    { net: [{ host: "example.org", path: "/v1" }] },
    { net: [{ methods: ["GET"] }] },
    { secrets: [{ name: "weather.key" }] },
    { secrets: [{ name: "weather.key", hosts: [] }] },
    { secrets: [{ name: "weather.key", hosts: ["*"] }] },
    { secrets: [{ name: "weather.key", hosts: ["*.org"] }] },
    { secrets: [{ name: "*", hosts: ["example.org"] }] },
    { secrets: [{ name: "weather.key", hosts: ["example.org"], paths: ["/"] }] },
  ])("but not %j", (permissions) => {
    expect(() => check(permissions)).toThrow(expect.objectContaining({ code: "MANIFEST_INVALID" }));
  });

  test("SEC-166: every host there is, is only for what ships with rclaw", () => {
    for (const net of [["*"], [{ host: "*", methods: ["GET"] }], ["api.example.org", "*"]]) {
      const manifest = { id: "weather", permissions: { net } as Permissions };
      const ports = { methods: [], routes: [] };
      expect(createCatalog([found(manifest, true)], ports).conflicts).toEqual(new Map());
      expect(createCatalog([found(manifest, false)], ports).conflicts.get("weather")).toBe(
        'permissions.net "*", every host there is, is only for what ships with rclaw; name the hosts, such as "api.example.org"',
      );
    }
  });
});

describe("what egress is told", () => {
  const config = { baseUrl: "https://api.example.net/v1", local: "ws://127.0.0.1:8080", bad: "x" };

  test("hosts from the settings keep methods and paths, and the operator's grants come after", () => {
    const manifest = weather({
      net: ["a.example.org", { host: "config:baseUrl", methods: ["GET"] }, "config:local", "config:bad"],
    });
    expect(netGrants(manifest, config, ["b.example.org", 1])).toEqual([
      "a.example.org",
      { host: "api.example.net:443", methods: ["GET"] },
      "127.0.0.1:8080",
      "b.example.org",
    ]);
    expect(netGrants(manifest, config, "b.example.org")).toHaveLength(3);
  });

  test("a secret that is only named is bound to no host", () => {
    const manifest = weather({
      secrets: ["a.*", { name: "b.c", hosts: ["x.example.org", "config:baseUrl"] }],
    });
    expect(secretBindings(manifest, config)).toEqual([
      { name: "a.*", hosts: [] },
      { name: "b.c", hosts: ["x.example.org", "api.example.net:443"] },
    ]);
    expect(secretBindings(weather({}), config)).toEqual([]);
  });
});

describe("a context", () => {
  test("lets a plugin use a secret that is bound to hosts like one that is only named", () => {
    const manifest = weather({ secrets: ["a.b", { name: "weather.*", hosts: ["example.org"] }] });
    expect(() => require(manifest, "secrets", "a.b")).not.toThrow();
    expect(() => require(manifest, "secrets", "weather.key")).not.toThrow();
    expect(() => require(manifest, "secrets", "other.key")).toThrow(
      'it needs permissions: { secrets: ["other.key"] }',
    );
  });

  test("asks the manifest before it signs and verifies", async () => {
    const asked: unknown[] = [];
    const note = (verb: string) => async (name: string, request: unknown) =>
      void asked.push([verb, name, request]) as never;
    const kernel = {
      log: silent,
      secrets: { get: note("get"), resolve: note("resolve"), sign: note("sign"), verify: note("verify") },
      networkFor: () => ({ fetch, webSocket: () => Promise.reject(new Error("none")) }),
      storageFor: () => ({ get: async () => undefined, set: async () => undefined }),
      registries: {},
      channels: {},
      providers: {},
      gateway: {},
      tools: {},
    } as unknown as KernelPorts;
    await using lifetime = new Lifetime();
    const manifest = weather({ secrets: [{ name: "weather.*", hosts: ["example.org"] }] });
    const { secrets } = createPluginContext({ manifest, version: "1.0.0", config: {}, lifetime, kernel });
    const request = { hmac: "sha256", data: "x" } as const;
    await secrets.sign("weather.key", request);
    await secrets.verify("weather.key", { equals: "x" });
    await expect(secrets.sign("other.key", request)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(secrets.verify("other.key", { equals: "x" })).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    expect(asked).toEqual([
      ["sign", "weather.key", request],
      ["verify", "weather.key", { equals: "x" }],
    ]);
  });
});
