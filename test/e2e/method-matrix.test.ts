import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { type DescribedMethod, render } from "../../scripts/methods.mjs";
import { freshForAll } from "../support/fresh.ts";
import { ask } from "../support/product.ts";
import { type Client, createDevice } from "../support/ws-client.ts";

interface Fact {
  readonly name: string;
  readonly role: string;
  readonly scope: string | null;
  readonly since: string;
}

const root = path.resolve(import.meta.dirname, "../..");
/** Who may call what in OpenClaw 2026.2.26. */
const { methods: facts } = JSON.parse(
  readFileSync(path.join(root, "test/fixtures/methods.json"), "utf8"),
) as { readonly methods: readonly Fact[] };

/** OpenClaw's methods that are not in the table, each with its reason. */
const missing: Readonly<Record<string, string>> = {
  connect: "the handshake, which comes before every method",
};

const product = freshForAll({ config: {} });
let methods: readonly DescribedMethod[];
beforeAll(async () => {
  ({ methods } = (await ask(await product.connect(), "methods.list")) as {
    methods: readonly DescribedMethod[];
  });
});

const scopes = [
  ...["operator.admin", "operator.approvals", "operator.pairing", "operator.read"],
  ...["operator.talk.secrets", "operator.write"],
];
const pairs = scopes.flatMap((one, i) => scopes.slice(i + 1).map((other) => [one, other]));
const subsets: readonly (readonly string[])[] = [[], ...scopes.map((scope) => [scope]), ...pairs];

const covers = (granted: readonly string[], needed: string): boolean =>
  granted.includes("operator.admin") ||
  granted.includes(needed) ||
  (needed === "operator.read" && granted.includes("operator.write"));

/** No method takes a number, so where it may be called at all it does nothing. */
const refusalOf = async (client: Client, method: string): Promise<string | undefined> => {
  const message = (await client.request(method, 5)).error?.message ?? "";
  return /^(?:missing scope|unauthorized role|unknown method)\b/.test(message) ? message : undefined;
};

function expected({ role, scope }: DescribedMethod, granted: readonly string[]): string | undefined {
  if (role === "node") return "unauthorized role: operator";
  return scope === null || covers(granted, scope) ? undefined : `missing scope: ${scope}`;
}

test.each(subsets.map((granted) => [granted.join(" ") || "no scope at all", granted] as const))(
  "SEC-032 an operator with %s may call what the table says, and nothing else",
  async (_name, granted) => {
    const client = await product.connect({ scopes: granted });
    const found = await Promise.all(
      methods.map(async ({ name }) => [name, await refusalOf(client, name)] as const),
    );
    expect(found).toEqual(methods.map((method) => [method.name, expected(method, granted)]));
    for (const name of ["no.such.method", "toString", "__proto__"])
      expect(await refusalOf(client, name)).toBe(
        granted.includes("operator.admin") ? `unknown method: ${name}` : "missing scope: operator.admin",
      );
    await client.close();
  },
);

test("SEC-032 a node may call what is a node's, whatever scopes it names", async () => {
  for (const { name, role } of methods) {
    // One connection each: who keeps calling what is not a node's is thrown out.
    const node = await product.connect({
      role: "node",
      scopes: ["operator.admin"],
      client: { id: "node-host", mode: "node" },
      device: createDevice(),
    });
    const refusal = role === "operator" ? "unauthorized role: node" : undefined;
    expect([name, await refusalOf(node, name)]).toEqual([name, refusal]);
    await node.close();
  }
});

test("SEC-032 every method of OpenClaw's is there with its role and scope, or is known to be missing", () => {
  const table = new Map(methods.map((method) => [method.name, method]));
  const wrong = facts.flatMap(({ name, role, scope, since }) => {
    const found = table.get(name);
    if (!found) return missing[name] === undefined ? [[name, "is not there"]] : [];
    const same = found.role === role && (role === "node" || found.scope === scope) && found.since === since;
    return same ? [] : [[name, { role, scope, since }, found]];
  });
  expect(wrong).toEqual([]);
});

test("what is said to be missing is missing", () => {
  const names = new Set(methods.map(({ name }) => name));
  expect(Object.keys(missing).filter((name) => names.has(name))).toEqual([]);
  expect(Object.keys(missing).filter((name) => !facts.some((fact) => fact.name === name))).toEqual([]);
});

test("every method says since when it is there", () => {
  const release = /^(?:rclaw|2026\.\d+(?:\.\d+)?)$/;
  expect(methods.filter(({ since = "" }) => !release.test(since)).map(({ name }) => name)).toEqual([]);
});

test("docs/methods.md is what the gateway says; otherwise run: npm run docs", () => {
  expect(readFileSync(path.join(root, "docs/methods.md"), "utf8")).toBe(render(methods));
});
