import { createHmac } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { ask, type Product, rclaw, startProduct, type TempState, tempState } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

const fixture = path.resolve(import.meta.dirname, "../fixtures/plugins/reaches");
const server = http.createServer((request, response) => void response.end(`you asked ${request.url}`));
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data, { binary: false })));

let state: TempState;
let product: Product;
let client: Client;
let place: string;

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  state = await tempState();
  const folder = path.join(state.dir, "plugins");
  await cp(fixture, path.join(folder, "reaches"), { recursive: true });
  await mkdir(path.join(folder, "everywhere"));
  await writeFile(path.join(folder, "everywhere", "index.js"), "export default { activate() {} };");
  await writeFile(
    path.join(folder, "everywhere", "rclaw.plugin.json5"),
    `{ id: "everywhere", name: "x", description: "X.", runtime: "in-process", entry: "index.js", contributes: {}, permissions: { net: ["*"] } }`,
  );
  await writeFile(
    path.join(state.dir, "secrets.json"),
    JSON.stringify({ "reaches.key": "a-key-of-the-owner" }),
  );
  product = await startProduct({
    stateDir: state.dir,
    config: {
      plugins: {
        entries: { reaches: { enabled: true, runtime: "in-process" }, everywhere: { enabled: true } },
      },
    },
  });
  client = await product.connect();
});
afterAll(async () => {
  sockets.close();
  server.closeAllConnections();
  server.close();
});

test("SEC-166: an installed plugin that wants every host there is does not run, and says why", async () => {
  const { plugins } = (await ask(client, "plugins.list")) as { plugins: { id: string; error?: string }[] };
  expect(plugins.find(({ id }) => id === "everywhere")?.error).toContain("is only for what ships with rclaw");
});

test("people are shown what of a host it may use, and where its secrets may go", async () => {
  expect(await ask(client, "plugins.plan", { id: "reaches" })).toMatchObject({
    mayReach: ["GET api.example.org (/v1/*)"],
    mayRead: ["secret reaches.* (for api.example.org)"],
  });
  const { stdout } = await rclaw(state.dir, ["plugin", "info", "reaches"]);
  expect(stdout).toContain("net: api.example.org methods GET paths /v1/*");
  expect(stdout).toContain("secrets: reaches.* hosts api.example.org");
});

test("a plugin signs with a secret that its manifest binds to a host", async () => {
  expect(await ask(client, "reaches.sign")).toEqual({
    signature: createHmac("sha256", "a-key-of-the-owner").update("x").digest("hex"),
    isRight: true,
  });
});

test("a host that the operator grants is open at once, for requests and sockets", async () => {
  const url = `http://${place}/a`;
  await expect(ask(client, "reaches.fetch", { url })).rejects.toThrow("may not reach 127.0.0.1");
  await expect(ask(client, "reaches.socket", { url: `ws://${place}/` })).rejects.toThrow(
    "may not reach 127.0.0.1",
  );
  const { hash } = await ask(client, "config.get");
  const change = { plugins: { entries: { reaches: { grants: { net: [place] } } } } };
  await ask(client, "config.patch", { raw: JSON.stringify(change), baseHash: hash });
  expect(await ask(client, "reaches.fetch", { url })).toEqual({ text: "you asked /a" });
  expect(await ask(client, "reaches.socket", { url: `ws://${place}/` })).toMatchObject({
    message: "hello",
    closed: { code: 1000 },
  });
});

test("a granted line that is no host is refused when it is written", async () => {
  const { hash } = await ask(client, "config.get");
  const change = { plugins: { entries: { reaches: { grants: { net: ["https://example.org/"] } } } } };
  await expect(ask(client, "config.patch", { raw: JSON.stringify(change), baseHash: hash })).rejects.toThrow(
    "invalid config",
  );
});

test("methods and paths of a grant are kept", async () => {
  await expect(ask(client, "reaches.fetch", { url: "https://api.example.org/v2" })).rejects.toThrow(
    "names the host with other methods or paths",
  );
});
