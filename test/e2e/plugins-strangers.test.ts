import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import {
  ask,
  type Product,
  rclaw,
  say,
  startProduct,
  type TempState,
  tempState,
} from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

const poll = { timeout: 20_000, interval: 50 };
const fixtures = path.resolve(import.meta.dirname, "../fixtures/plugins");
const ids = ["grumbles", "floods", "undeclared", "clings", "stray-socket", "mumbles", "polite"];

interface Row {
  readonly id: string;
  readonly state: string;
  readonly builtIn: boolean;
  readonly error?: string;
  readonly next?: string;
  readonly trouble?: { readonly count: number; readonly where: string; readonly error: string };
}

let state: TempState;
let product: Product;
let client: Client;

const put = (fixture: string, id = fixture): Promise<void> =>
  cp(path.join(fixtures, fixture), path.join(state.dir, "plugins", id), { recursive: true });

async function list(): Promise<{ plugins: Row[]; refused: { id?: string; reason: string }[] }> {
  return (await ask(client, "plugins.list")) as {
    plugins: Row[];
    refused: { id?: string; reason: string }[];
  };
}

async function row(id: string): Promise<Row> {
  const found = (await list()).plugins.find((plugin) => plugin.id === id);
  if (!found) throw new Error(`no plugin ${id}`);
  return found;
}

async function patch(change: object): Promise<void> {
  const { hash } = await ask(client, "config.get");
  await ask(client, "config.patch", { raw: JSON.stringify(change), baseHash: hash });
}

beforeAll(async () => {
  state = await tempState();
  for (const id of ids) await put(id);
  await put("impostor", "offline");
  product = await startProduct({
    stateDir: state.dir,
    config: {
      plugins: {
        entries: Object.fromEntries(ids.map((id) => [id, { enabled: true, runtime: "in-process" }])),
      },
    },
  });
  client = await product.connect();
});

test("a stranger that takes a built-in's id is refused by name, and the built-in answers as ever", async () => {
  const { plugins, refused } = await list();
  expect(plugins.filter(({ id }) => id === "offline")).toMatchObject([{ builtIn: true }]);
  expect(refused).toMatchObject([
    { id: "offline", reason: expect.stringMatching(/built in and stays.*give this one an id of its own/) },
  ]);
  expect((await say(client, "hello")).payload.state).toBe("final");
  const shown = await rclaw(state.dir, ["plugin", "list"]);
  expect(`${shown.stdout}${shown.stderr}`).toContain("built in and stays");
});

test("hooks that fail are shown with their plugin, and too many of them take it down", async () => {
  expect((await say(client, "hello")).payload.state).toBe("final");
  await expect
    .poll(async () => (await row("grumbles")).trouble, poll)
    .toMatchObject({ where: expect.stringContaining("before_agent_start"), error: "not again" });
  expect((await row("grumbles")).next).toContain("rclaw plugin disable grumbles");
  for (let i = 0; i < 5; i++) expect((await say(client, `hello ${i}`)).payload.state).toBe("final");
  await expect.poll(async () => (await row("grumbles")).state, poll).toBe("failed");
  expect((await row("grumbles")).error).toMatch(
    /before_agent_start failed, the last of 5 failures.*not again/,
  );
});

test("a flood of log lines is cut off and named", async () => {
  expect(await ask(client, "floods.talk")).toEqual({ done: true });
  const log = await state.read("logs/gateway.log");
  expect(log.split("\n").filter((line) => line.includes("blah blah")).length).toBeLessThanOrEqual(1_000);
  expect((await row("floods")).trouble).toMatchObject({ where: "log" });
});

test("what is not declared cannot be registered", async () => {
  const answer = await client.request("undeclared.one");
  expect(answer.error?.message).toMatch(/"undeclared".*undeclared\.two/);
  expect((await client.request("undeclared.two")).error?.message).toContain("unknown method");
});

test("a plugin that does not let go is named and still gone", async () => {
  expect(await ask(client, "clings.greet")).toEqual({ hello: "you" });
  expect(await ask(client, "plugins.disable", { id: "clings" })).toMatchObject({ state: "disabled" });
  expect((await client.request("clings.greet")).ok).toBe(false);
  expect(await state.read("logs/gateway.log")).toContain("I will not let go");
});

test("a tool without its words is its plugin's failure, and nobody's answer is worse for it", async () => {
  expect((await say(client, "what time is it")).payload.state).toBe("final");
  await expect
    .poll(async () => (await row("mumbles")).error, poll)
    .toBe('plugin "mumbles" registers a tool whose "description" is no string');
});

test("a socket that fails where nobody listens is its plugin's failure, not the gateway's", async () => {
  await ask(client, "stray-socket.dial");
  await expect.poll(async () => (await row("stray-socket")).error, poll).toContain("ECONNREFUSED");
  expect((await row("polite")).state).not.toBe("failed");
  expect((await ask(client, "health")).ok).toBe(true);
});

test("folders that come, change and go are seen by a reload, while clients stay connected", async () => {
  const folder = path.join(state.dir, "plugins", "late");
  await mkdir(folder);
  const manifest = (version: string): string =>
    `{ id: "late", name: "Late", version: "${version}", description: "For tests.", runtime: "in-process",
       entry: "index.js", contributes: { methods: { "late.greet": "operator.read" } } }`;
  const code = (words: string): string =>
    `export default { activate(ctx) { ctx.methods.register({ name: "late.greet", handle: async () => ({ hello: "${words}" }) }); } };`;
  await writeFile(path.join(folder, "rclaw.plugin.json5"), manifest("1.0.0"));
  await writeFile(path.join(folder, "index.js"), code("one"));
  expect(await ask(client, "plugins.reload")).toMatchObject({ added: ["late"], removed: [], changed: [] });
  expect(await row("late")).toMatchObject({ state: "disabled" });
  expect((await client.request("plugins.enable", { id: "late" })).error?.message).toContain(
    "rclaw plugin trust late --runtime in-process",
  );
  await ask(client, "plugins.runtime", { id: "late", runtime: "in-process", widen: true });
  await ask(client, "plugins.enable", { id: "late" });
  expect(await ask(client, "late.greet")).toEqual({ hello: "one" });

  await writeFile(path.join(folder, "rclaw.plugin.json5"), manifest("1.0.1"));
  await writeFile(path.join(folder, "index.js"), code("two"));
  expect(await ask(client, "plugins.reload")).toMatchObject({ changed: ["late"] });
  expect(await ask(client, "late.greet")).toEqual({ hello: "two" });

  await rm(folder, { recursive: true });
  expect(await ask(client, "plugins.reload")).toMatchObject({ removed: ["late"] });
  expect((await client.request("late.greet")).error?.message).toContain("unknown method");
  expect(client.ws.readyState).toBe(client.ws.OPEN);
});

test("a plugin for another SDK is refused with the range and what there is", async () => {
  const folder = path.join(state.dir, "plugins", "future");
  await mkdir(folder);
  await writeFile(path.join(folder, "index.js"), "export default { activate() {} };");
  await writeFile(
    path.join(folder, "rclaw.plugin.json5"),
    `{ id: "future", name: "Future", description: "For tests.", runtime: "in-process", entry: "index.js",
       engines: { sdk: "^99.0.0" }, contributes: {} }`,
  );
  const { refused } = (await ask(client, "plugins.reload")) as { refused: { reason: string }[] };
  expect(refused.map(({ reason }) => reason).join("\n")).toMatch(/\^99\.0\.0/);
  await rm(folder, { recursive: true });
  await ask(client, "plugins.reload");
});

test("plugins.allow and deny switch exactly the plugins they name, at once", async () => {
  expect(await ask(client, "polite.greet")).toEqual({ hello: "first" });
  await patch({ plugins: { allow: ["floods"] } });
  await expect.poll(async () => (await row("polite")).state, poll).toBe("disabled");
  expect((await row("floods")).state).not.toBe("disabled");
  expect((await row("read")).state).not.toBe("disabled");
  expect((await client.request("plugins.enable", { id: "polite" })).error?.message).toContain(
    "plugins.allow",
  );

  await patch({ plugins: { allow: null, deny: ["exec"] } });
  await expect.poll(async () => (await row("exec")).state, poll).toBe("disabled");
  await expect.poll(async () => (await client.request("polite.greet")).ok, poll).toBe(true);

  await patch({ plugins: { deny: [], enabled: false } });
  await expect.poll(async () => (await row("polite")).state, poll).toBe("disabled");
  expect((await row("exec")).state).not.toBe("disabled");
  expect((await say(client, "hello")).payload.state).toBe("final");
  expect(client.ws.readyState).toBe(client.ws.OPEN);
  expect(await product.stop()).toBe(0);
});
