import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { buildComponent } from "../../plugins/services/cli/author/build-component.ts";
import { type ModelPeer, startModelPeer, toolResult } from "../support/aimock.ts";
import { hasBrowser, startBrowser } from "../support/browser.ts";
import {
  ask,
  type Product,
  say,
  startProduct,
  type TempState,
  tempState,
  token,
} from "../support/product.ts";
import { hasSandbox } from "../support/sandbox.ts";
import type { Client } from "../support/ws-client.ts";

const root = path.resolve(import.meta.dirname, "../..");

const reacher = `
import { definePlugin } from "@rclaw/plugin-sdk";
export default definePlugin({
  activate(ctx) {
    const text = async (url, signal) => (await ctx.fetch(url, { signal })).text();
    ctx.tools.register({
      name: "reach",
      description: "Reads a page.",
      params: { type: "object", properties: { url: { type: "string" } }, required: ["url"] },
      execute: async ({ url }, { signal }) => ({ content: await text(url, signal) }),
    });
    ctx.methods.register({
      name: "reacher.call",
      handle: ({ params: { method, params } }) => ctx.methods.call(method, params),
    });
  },
});
`;
const manifest = {
  id: "reacher",
  name: "Reacher",
  description: "Reads pages.",
  version: "1.0.0",
  runtime: "wasm",
  entry: "plugin.wasm",
  contributes: { tools: ["reach"], methods: { "reacher.call": "operator.read" } },
  // The address alone names no machine of one's own: that takes the port.
  permissions: { net: ["127.0.0.1"], methods: ["*"] },
};

let hits = 0;
const server = http.createServer((_request, response) => {
  hits++;
  response.end("the page");
});
let place: string;
let state: TempState;
let model: ModelPeer;
let product: Product;
let client: Client;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const entry = path.join((await tempState()).dir, "plugin.ts");
  await writeFile(entry, reacher);
  state = await tempState();
  const home = path.join(state.dir, "plugins", manifest.id);
  await mkdir(home, { recursive: true });
  await writeFile(
    path.join(home, "plugin.wasm"),
    await buildComponent({
      entry,
      witFolder: path.join(root, "wit/since-v0.1.0"),
      sdkFolder: path.join(root, "plugin-sdk"),
    }),
  );
  await writeFile(path.join(home, "rclaw.plugin.json5"), JSON.stringify(manifest));
  model = await startModelPeer();
  const { config, env } = model.openai();
  product = await startProduct({
    stateDir: state.dir,
    env,
    config: { ...config, plugins: { entries: { reacher: { enabled: true } } } },
  });
  client = await product.connect();
}, 120_000);
afterAll(async () => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => void (hits = 0));

let turn = 0;
/** Lets the model call the tool; what the tool answered. */
async function reach(url = `http://${place}/`): Promise<string> {
  return useTool("reach", { url });
}
async function useTool(name: string, args: object): Promise<string> {
  const words = `turn ${++turn} of it`;
  model.answer(words, { toolCalls: [{ name, arguments: args as never, id: `call_${turn}` }] }, (request) => ({
    content: `it says: ${toolResult(request)}`,
  }));
  const { payload } = await say(client, words);
  if (payload.state !== "final") throw new Error(JSON.stringify(payload));
  return JSON.stringify(payload.message);
}
interface Card {
  readonly id: string;
  readonly plugin: string;
  readonly line: string;
}
const pending = async (): Promise<Card[]> =>
  ((await ask(client, "egress.pending")) as { pending: Card[] }).pending;
const grants = async (): Promise<unknown> =>
  JSON.parse(await state.read("config.json")).plugins.entries.reacher.grants?.net;

test("a refused host is asked about, with the address, the reason and the line it would take", async () => {
  expect(await reach()).toContain("may not reach 127.0.0.1: it is a loopback address");
  expect(hits).toBe(0);
  const told = await client.find(({ event }) => event === "egress.denied");
  expect(told.payload).toMatchObject({
    plugin: "reacher",
    host: "127.0.0.1",
    line: place,
    reason: "it is a loopback address",
  });
  expect(await pending()).toMatchObject([{ plugin: "reacher", line: place }]);
});

test("who may only read and write can neither look nor answer", async () => {
  const reader = await product.connect({ scopes: ["operator.read", "operator.write"] });
  expect((await reader.request("egress.pending")).ok).toBe(false);
  const [card] = await pending();
  expect((await reader.request("egress.resolve", { id: card?.id, answer: "once" })).ok).toBe(false);
  expect(await pending()).toMatchObject([{ id: card?.id }]);
});

test("neither a plugin that may call every method nor the model's tools can answer", async () => {
  const [card] = await pending();
  const raw = JSON.stringify({ plugins: { entries: { reacher: { grants: { net: [place] } } } } });
  for (const [method, params] of [
    ["egress.resolve", { id: card?.id, answer: "always" }],
    ["egress.resolve", { id: card?.id, answer: "once" }],
    ["egress.pending", {}],
  ] as const) {
    const answer = await client.request("reacher.call", { method, params });
    expect([method, answer.ok, answer.error?.message]).toEqual([
      method,
      false,
      expect.stringContaining("only the owner answers"),
    ]);
  }
  const config = path.join(state.dir, "config.json");
  await useTool("write", { path: config, content: raw });
  await useTool("edit", {
    path: config,
    oldText: `"enabled": true`,
    newText: `"enabled": true, "grants": {}`,
  });
  if (hasSandbox) expect(await useTool("exec", { command: `cat ${config}` })).not.toContain("reacher");
  expect(await grants()).toBeUndefined();
  expect(await pending()).toMatchObject([{ id: card?.id }]);
  expect(await reach()).toContain("may not reach");
  expect(hits).toBe(0);
});

test("once allows exactly one request, and the others are told that it was answered", async () => {
  const other = await product.connect();
  const [card] = await pending();
  await ask(client, "egress.resolve", { id: card?.id, answer: "once" });
  expect((await other.find(({ event }) => event === "egress.resolved")).payload).toEqual({
    id: card?.id,
    answer: "once",
  });
  expect(await pending()).toEqual([]);
  expect(await reach()).toContain("the page");
  expect(await reach()).toContain("may not reach 127.0.0.1");
  expect(hits).toBe(1);
  expect(await pending()).toHaveLength(1);
});

test.runIf(hasBrowser)("always, pressed on the chat page, is written, and the next call works", async () => {
  await using browser = await startBrowser({});
  const pages = await Promise.all([1, 2].map(() => browser.context.newPage()));
  for (const page of pages) {
    await page.goto(`${product.http}/#token=${token}`);
    await page.locator("#access").waitFor();
  }
  const [page, second] = pages;
  expect(await page?.locator("#access").innerText()).toContain(
    `Plugin reacher wanted to reach ${place}, but it is a loopback address.`,
  );
  await page?.getByRole("button", { name: "Always allow" }).click();
  await page?.locator("#access").waitFor({ state: "hidden" });
  await second?.locator("#access").waitFor({ state: "hidden" });
  expect(await grants()).toEqual([place]);
  expect(await reach()).toContain("the page");
  expect(await reach()).toContain("the page");
  expect(hits).toBe(2);
});

test("deny silences: it stays refused, and nobody is asked again", async () => {
  expect(await reach("https://silenced.invalid/")).toContain("may not reach silenced.invalid");
  const [card] = await pending();
  expect(card).toMatchObject({ line: "silenced.invalid" });
  await ask(client, "egress.resolve", { id: card?.id, answer: "deny" });
  expect(await reach("https://silenced.invalid/")).toContain("may not reach silenced.invalid");
  expect(await pending()).toEqual([]);
});
