import { describe, expect, test } from "vitest";
import type { Caller } from "@rclaw/plugin-sdk";
import type { DeniedCard, Egress } from "@rclaw/plugin-sdk/services/egress";
import { createCards } from "../../plugins/services/egress/cards.ts";
import { egressMethods } from "../../plugins/services/egress/methods.ts";
import { createWitness } from "./egress-canary.ts";
import { echo, egress, resolveTo, serve } from "./egress-setup.ts";

function watched(options: Parameters<typeof egress>[0] = {}) {
  const shown: DeniedCard[] = [];
  const guard = egress({ onDenied: (card) => void shown.push(card), ...options });
  return {
    guard,
    shown,
    fetch: guard.fetchFor(["granted.example.org"], "weather"),
    witness: createWitness(),
  };
}

const allScopesOf = (kind: Caller["kind"]): Caller => ({
  kind,
  principal: kind,
  role: "operator",
  scopes: ["operator.admin", "operator.approvals"],
  caps: [],
  isOwner: kind !== "plugin",
});

const only = (guard: Egress): DeniedCard => {
  expect(guard.pending()).toHaveLength(1);
  return guard.pending()[0]!;
};

describe("a refused host becomes a card for the owner", () => {
  test("one for each plugin and host, however often it is tried", async () => {
    const { guard, shown, fetch, witness } = watched();
    const before = Date.now();
    for (const path of ["/a", "/b", "/c"]) await witness.failure(fetch(`https://api.example.org${path}`));
    await witness.failure(guard.fetchFor([], "news")("https://api.example.org/"));
    expect(shown).toHaveLength(2);
    const [first, second] = guard.pending();
    expect(first).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      plugin: "weather",
      host: "api.example.org",
      port: 443,
      line: "api.example.org",
      firstAt: expect.any(Number) as number,
      count: 3,
    });
    expect(first!.firstAt).toBeGreaterThanOrEqual(before);
    expect(second).toMatchObject({ plugin: "news", count: 1 });
  });

  test("also for a WebSocket, and with the port where it is not the usual one", async () => {
    const { guard, witness } = watched();
    const { signal } = new AbortController();
    await witness.failure(guard.webSocketFor([], "weather")("wss://api.example.org:8443/", { signal }));
    expect(only(guard)).toMatchObject({ host: "api.example.org", port: 8443, line: "api.example.org:8443" });
  });

  test("none for what no answer could allow", async () => {
    const { guard, fetch, witness } = watched({ resolve: resolveTo("169.254.169.254") });
    for (const url of [
      "http://169.254.169.254/latest/meta-data/",
      "http://[fd00:ec2::254]/",
      "http://100.100.100.200/",
      "https://granted.example.org/",
      "file:///etc/passwd",
      "https://user:pass@api.example.org/",
    ])
      await witness.failure(fetch(url));
    const narrow = guard.fetchFor([{ host: "api.example.org", methods: ["GET"] }], "weather");
    await witness.failure(narrow("https://api.example.org/", { method: "POST", body: "x" }));
    expect(guard.pending()).toEqual([]);
  });

  test("a plugin that tries every host has twenty of them, and all together a hundred", () => {
    const cards = createCards(undefined);
    for (const plugin of ["a", "b", "c", "d", "e", "f"])
      for (let i = 0; i < 50; i++)
        cards.note(plugin, { host: `h${i}.example.org`, port: 443, line: "x", reason: undefined });
    const pending = cards.pending();
    expect(pending).toHaveLength(100);
    expect(pending.filter(({ plugin }) => plugin === "a")).toHaveLength(20);
  });
});

describe("the answer", () => {
  test("once: one request of that plugin to that host and port, redirects to itself included", async () => {
    const { port, url } = await serve((request, response) => {
      if (request.url === "/go") response.writeHead(302, { location: "/there" }).end();
      else echo(request, response);
    });
    const { guard, fetch, witness } = watched();
    await witness.failure(fetch(url));
    const card = only(guard);
    expect(card).toMatchObject({ port, line: `127.0.0.1:${port}`, reason: "it is a loopback address" });
    expect(guard.resolve(card.id, "once")).toEqual(card);
    expect(guard.pending()).toEqual([]);
    await witness.failure(guard.fetchFor([], "news")(url));
    await witness.failure(fetch(`http://127.0.0.1:${port === 65_535 ? 1 : port + 1}/`));
    expect((await fetch(`${url}/go`)).url).toBe(`${url}/there`);
    expect(await witness.failure(fetch(url))).toMatchObject({ code: "EGRESS_DENIED" });
    expect(() => guard.resolve(card.id, "once")).toThrow("there is no question");
  });

  test("once, for ten minutes and not longer", () => {
    let now = 1_000;
    const cards = createCards(undefined, () => now);
    const ask = (): void => {
      cards.note("p", { host: "h", port: 443, line: "h", reason: undefined });
      cards.answer(cards.pending()[0]!.id, "once");
    };
    ask();
    now += 599_999;
    expect(cards.take("p", "h", 443, false)).toMatchObject({ host: "h", named: false });
    expect(cards.take("p", "h", 443, false)).toBeUndefined();
    ask();
    now += 600_000;
    expect(cards.take("p", "h", 443, false)).toBeUndefined();
  });

  test("once for a public name opens no private address behind it; that is asked for itself", async () => {
    const { port, connections } = await serve(echo);
    const { guard, fetch, witness } = watched({ resolve: resolveTo("127.0.0.1") });
    const url = `http://rebind.example.org:${port}/`;
    await witness.failure(fetch(url));
    expect(only(guard)).not.toHaveProperty("reason");
    guard.resolve(only(guard).id, "once");
    const error = await witness.failure(fetch(url));
    expect(error.message).toContain("it resolves to a loopback address");
    expect(connections()).toBe(0);
    expect(only(guard)).toMatchObject({
      line: `rebind.example.org:${port}`,
      reason: "it resolves to a loopback address",
    });
    guard.resolve(only(guard).id, "once");
    expect((await fetch(url)).status).toBe(200);
    expect(await witness.failure(fetch(url))).toMatchObject({ code: "EGRESS_DENIED" });
  });

  test("deny: no card for it again, and still no way", async () => {
    const { guard, fetch, shown, witness } = watched();
    await witness.failure(fetch("https://api.example.org/"));
    guard.resolve(only(guard).id, "deny");
    expect(await witness.failure(fetch("https://api.example.org/"))).toMatchObject({ code: "EGRESS_DENIED" });
    expect(guard.pending()).toEqual([]);
    expect(shown).toHaveLength(1);
  });
});

describe("the owner's methods", () => {
  function methods(guard: Pick<Egress, "pending" | "resolve">, config: unknown = {}, isBroken = false) {
    const written: { path: string; value: unknown }[] = [];
    const made = egressMethods({
      egress: () => Promise.resolve(guard),
      config: () => config,
      configure: async (values) => {
        if (isBroken) throw new Error("the disk is full");
        written.push(...values);
      },
    });
    const call = (name: string, params: unknown, caller: Caller = allScopesOf("client")) =>
      made
        .find((method) => method.name === name)!
        .handle({ params, caller, signal: new AbortController().signal, accept: () => undefined });
    return { made, written, call };
  }

  async function asked() {
    const watch = watched();
    await watch.witness.failure(watch.fetch("https://api.example.org/"));
    return watch;
  }

  test("need the scope of approvals", () => {
    expect(methods(egress()).made.map(({ name, scope }) => [name, scope])).toEqual([
      ["egress.pending", "operator.approvals"],
      ["egress.resolve", "operator.approvals"],
    ]);
  });

  test("answer an operator's client and the command line", async () => {
    const { guard } = await asked();
    const { call, written } = methods(guard);
    const card = only(guard);
    expect(await call("egress.pending", {})).toEqual({ pending: [card] });
    expect(await call("egress.resolve", { id: card.id, answer: "once" }, allScopesOf("command"))).toEqual({
      card,
      answer: "once",
    });
    expect(written).toEqual([]);
    await expect(call("egress.resolve", { id: card.id, answer: "once" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  });

  test("always: adds the line to what is granted already, once", async () => {
    const { guard } = await asked();
    const config = { plugins: { entries: { weather: { grants: { net: ["old.example.org"] } } } } };
    const { call, written } = methods(guard, config);
    await call("egress.resolve", { id: only(guard).id, answer: "always" });
    expect(written).toEqual([
      { path: "plugins.entries.weather.grants.net", value: ["old.example.org", "api.example.org"] },
    ]);
    expect(guard.pending()).toEqual([]);
  });

  test("always, with a file that cannot be written: the question stays", async () => {
    const { guard } = await asked();
    const { call } = methods(guard, {}, true);
    await expect(call("egress.resolve", { id: only(guard).id, answer: "always" })).rejects.toThrow(
      "the disk is full",
    );
    expect(guard.pending()).toHaveLength(1);
  });

  test.each([
    ["a plugin with every scope", { ...allScopesOf("plugin") }],
    ["a plugin that says it is the owner's", { ...allScopesOf("plugin"), isOwner: true }],
    ["a node", { ...allScopesOf("client"), role: "node" as const }],
    ["a stranger", { ...allScopesOf("client"), isOwner: false }],
  ])("refuse %s", async (_who, caller) => {
    const { guard } = await asked();
    const { call, written } = methods(guard);
    const { id } = only(guard);
    await expect(call("egress.pending", {}, caller)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    for (const answer of ["once", "always", "deny"])
      await expect(call("egress.resolve", { id, answer }, caller)).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
      });
    expect(written).toEqual([]);
    expect(guard.pending()).toHaveLength(1);
  });
});
