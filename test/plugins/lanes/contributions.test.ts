import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import type { Chunk, CommandContext, InboundMessage, Manifest, Plugin } from "@rclaw/plugin-sdk";
import { netGrants, secretBindings } from "@rclaw/plugin-sdk/services/net-grants";
import { createTestContext, type TestContext } from "@rclaw/plugin-sdk/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { silent } from "../../../kernel/log.ts";
import { loadModule } from "../../../kernel/runtime/in-process.ts";
import { createEgress } from "../../../plugins/services/egress/egress.ts";
import { createSecretHandles } from "../../../plugins/services/egress/secrets.ts";
import { createFiles } from "../../../plugins/services/files/files.ts";
import { closers, openLanes, place } from "./setup.ts";
import { type Built, buildForAll } from "./three.ts";

vi.setConfig({ testTimeout: 10_000 });

const cages = ["in-process", "worker", "wasm"] as const;
type Cage = (typeof cages)[number];
const secret = "key-CANARY-0123456789";
const usual = { name: "t", description: "d", runtime: "wasm", entry: "x.wasm" } as const;
const everything: Manifest = {
  ...usual,
  id: "everything",
  contributes: {
    tools:
      "greet stream both remember authorized signed chat files progress known bug wait nonsense denied".split(
        " ",
      ),
    hooks: ["before_tool_call"],
  },
  permissions: { net: ["config:base"], secrets: [{ name: "demo.key", hosts: ["config:base"] }] },
};
const contributions: Manifest = {
  ...usual,
  id: "contributions",
  contributes: {
    tools: ["produced", "large", "slow"],
    channels: ["line"],
    providers: ["count"],
    methods: { "sum.add": "operator.read" },
    routes: ["POST /reverse", "GET /page"],
    commands: { hello: "Says hello." },
  },
  permissions: { net: ["config:base"] },
};

const built = new Map<string, Built>();
let server: http.Server;
let sockets: WebSocketServer;
let base: string;
beforeAll(async () => {
  for (const name of ["everything", "contributions"]) built.set(name, await buildForAll(`${name}.ts`));
  server = http.createServer((request, response) => response.end(String(request.headers.authorization)));
  sockets = new WebSocketServer({ server });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  for (const one of built.values()) await one.remove();
  sockets?.close();
  server?.closeAllConnections();
  server?.close();
});

interface Alive extends TestContext<unknown> {
  /** What the plugin itself would see as the secret. */
  readonly workspace: string;
  tool(
    name: string,
    params?: object,
    more?: object,
  ): ReturnType<TestContext<unknown>["context"]["tools"]["call"]>;
}

/** The plugin in its cage, with the egress, handles and files that a gateway would give it. */
async function alive(cage: Cage, manifest: Manifest, limits: object = {}): Promise<Alive> {
  const { id } = manifest;
  const config = { base };
  const workspace = await mkdtemp(path.join(os.tmpdir(), "rclaw-workspace-"));
  closers.push(() => rm(workspace, { recursive: true, force: true }));
  const secrets = { "demo.key": secret };
  const rclaw = createTestContext({
    id,
    manifest,
    config,
    secrets,
    workspace,
    methods: { health: () => ({ asked: "health" }) },
  });
  closers.push(() => rclaw[Symbol.asyncDispose]());
  const egress = createEgress({ log: silent });
  closers.push(() => egress.close());
  const bindings = secretBindings(manifest, config);
  const handles =
    cage === "in-process"
      ? undefined
      : createSecretHandles({ owner: id, bindings, resolve: async () => secret });
  const grants = () => netGrants(manifest, config);
  const options = { signal: rclaw.context.signal, ...(handles && { secrets: handles }) };
  const world = {
    ...rclaw.context,
    fetch: egress.fetchFor(grants, id, options),
    webSocket: egress.webSocketFor(grants, id, options),
    ...(handles && {
      secrets: { ...rclaw.context.secrets, get: (name: string) => handles.handleFor(name) },
    }),
  };
  const { script, component } = built.get(id) as Built;
  const entry = cage === "wasm" ? component : script;
  const found = { manifest, entry, ...(cage === "wasm" && { wasm: entry }), file: entry, builtIn: false };
  const plugin =
    cage === "in-process"
      ? ((await loadModule(script)) as Plugin)
      : await (await openLanes({ limits: () => limits })).lanes.load(found, cage);
  await rclaw.activate({ activate: () => plugin.activate(world) });
  return Object.assign(rclaw, {
    workspace,
    tool: (name: string, params: object = {}, more: object = {}) =>
      // The pipeline would hand in the workspace's files; the test context has none.
      rclaw.contributions.tools.get(name)!.execute(params, {
        ...place,
        workspace,
        files: createFiles(workspace),
        signal: rclaw.context.signal,
        ...more,
      }),
  });
}

describe.each(cages)("%s", (cage) => {
  test("files of the workspace, updates, a chat over a socket and storage are there", async () => {
    sockets.once("connection", (socket) =>
      socket.on("message", (data: Buffer) => socket.send(`${data.toString("utf8")}!`)),
    );
    const plugin = await alive(cage, everything);
    expect(await plugin.tool("files")).toEqual({ content: "written a.txt" });
    expect(await readFile(path.join(plugin.workspace, "notes/a.txt"), "utf8")).toBe("written");
    const updates: string[] = [];
    const onUpdate = (text: string): void => void updates.push(text);
    expect(await plugin.tool("progress", {}, { onUpdate })).toEqual({ content: "done" });
    expect(updates).toEqual(["half"]);
    expect(await plugin.tool("chat")).toEqual({ content: "one! two!" });
    await plugin.tool("remember");
    expect(await plugin.context.storage.get("count")).toBe(1);
  });

  test("a secret gets to its host and, out of the process, nowhere near the plugin", async () => {
    const plugin = await alive(cage, everything);
    const { content } = await plugin.tool("authorized");
    if (cage === "in-process") expect(content).toBe(`Bearer ${secret}`);
    else {
      // The server was sent the secret and sent it back; what the plugin saw of that is its handle again.
      expect(content).toMatch(/^Bearer \S{16,}$/);
      expect(content).not.toContain(secret);
    }
    expect((await plugin.tool("signed")).content).toBe(
      createHmac("sha256", secret).update("message").digest("hex"),
    );
    await expect(plugin.tool("denied")).rejects.toMatchObject({ code: "EGRESS_DENIED" });
  });

  test("a hook changes, blocks or leaves alone", async () => {
    const { context } = await alive(cage, everything);
    const before = (toolName: string) =>
      context.hooks.run("before_tool_call", { toolName, params: { path: "a" } }, { toolName });
    expect(await before("exec")).toEqual({ block: true, blockReason: "no programs here" });
    expect(await before("read")).toEqual({ params: { path: "other.txt" } });
    expect(await before("write")).toEqual({});
  });

  test("a channel hands in what it received, sends, shows typing and says how it is", async () => {
    const plugin = await alive(cage, contributions);
    const connected = once(sockets, "connection") as Promise<[WebSocket]>;
    const channel = plugin.contributions.channels.get("line")!;
    const received: string[] = [];
    const life = new AbortController();
    await channel.start(async ({ id }: InboundMessage) => {
      if (id === "bad") throw Object.assign(new Error("no room"), { code: "UNAVAILABLE" });
      received.push(id);
    }, life.signal);
    const [line] = await connected;
    const said: string[] = [];
    line.on("message", (data: Buffer) => said.push(data.toString("utf8")));
    for (const id of ["one", "bad", "two"]) line.send(id);
    await vi.waitFor(() => expect(said).toHaveLength(3), 5_000);
    expect(received).toEqual(["one", "two"]);
    expect([said[0], said[2]]).toEqual(["taken one", "taken two"]);
    const target = { accountId: "a", to: "p" };
    const { signal } = plugin.context;
    expect(await channel.send({ ...target, text: "hi" }, signal)).toEqual({ id: "sent hi" });
    await expect(channel.send({ ...target, text: "no" }, signal)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
    });
    await channel.typing?.(target, signal);
    expect(await plugin.context.storage.get("typing")).toBe("p");
    expect(await channel.accounts({ probe: true, signal })).toMatchObject([{ probe: { ok: true } }]);
    const closed = once(line, "close");
    life.abort();
    await closed;
  });

  test("a provider streams to the end, waits for a slow reader, and stops when nobody reads on", async () => {
    const plugin = await alive(cage, contributions);
    const provider = plugin.contributions.providers.get("count")!;
    const { signal } = plugin.context;
    const request = (model: string) => ({ model, system: "", messages: [], tools: [] });
    expect(await provider.ready(signal)).toMatchObject({ ok: true });
    expect(await provider.models(signal)).toEqual([{ id: "10", name: "Ten" }]);
    const chunks: Chunk[] = [];
    for await (const chunk of provider.stream(request("500"), signal)) chunks.push(chunk);
    expect(chunks).toHaveLength(501);
    expect(chunks.map((chunk) => (chunk.type === "text" ? chunk.delta : "")).join("")).toMatch(
      /^0 1 .* 499 $/,
    );
    expect(chunks.at(-1)).toMatchObject({ type: "end", stopReason: "stop" });
    let seen = 0;
    for await (const _chunk of provider.stream(request("100000"), signal)) if (++seen === 3) break;
    // It had a head start of a few batches, and no more.
    const first = Number((await plugin.tool("produced")).content);
    expect(first).toBeLessThan(20_000);
    expect(Number((await plugin.tool("produced")).content)).toBeLessThan(first + 1_000);
  });

  test("a method answers early and late, a route carries bytes, a command talks", async () => {
    const plugin = await alive(cage, contributions);
    const accepted: unknown[] = [];
    expect(await plugin.call("sum.add", { a: 2, b: 3 }, { accepted })).toEqual({ sum: 5 });
    expect(accepted).toEqual([{ status: "started" }]);
    const stranger = plugin.caller({ isOwner: false });
    await expect(plugin.call("sum.add", { a: 1, b: 1 }, { caller: stranger })).rejects.toMatchObject({
      code: "UNAUTHORIZED",
    });
    const { signal } = plugin.context;
    const ask = { query: { q: "1" }, headers: { "x-own": "2" } };
    const bytes = Uint8Array.from([0, 1, 254, 255]);
    const answer = await plugin.contributions.routes
      .get("POST /reverse")!
      .handle({ method: "POST", path: "/reverse", ...ask, body: bytes }, signal);
    expect(answer).toMatchObject({ status: 201, headers: { "x-seen": "1 2" } });
    expect([...(answer.body as Uint8Array)]).toEqual([255, 254, 1, 0]);
    const page = await plugin.contributions.routes
      .get("GET /page")!
      .handle({ method: "GET", path: "/page", ...ask, body: new Uint8Array() }, signal);
    expect(page).toMatchObject({ status: 200 });
    expect(Buffer.from(page.body as Uint8Array).toString("utf8")).toBe("grüße von /page");
    const out: string[] = [];
    const context = {
      args: ["a", "b"],
      json: false,
      interactive: true,
      colour: false,
      width: 80,
      verbose: false,
      signal,
      out: (text: string) => void out.push(text),
      note: (text: string) => void out.push(`note ${text}`),
      ask: async (question: string) => `${question} me`,
      call: async (method: string) => ({ asked: method }),
    } as unknown as CommandContext;
    expect(await plugin.contributions.commands.get("hello")!.run(context)).toBe(3);
    await vi.waitFor(() => expect(out).toEqual(["note a moment", 'a+b Who? me {"asked":"health"}\n']));
  });
});

describe.each(["worker", "wasm"] as const)("%s", (cage) => {
  test("an answer that is too large and one that does not come are errors, and the plugin goes on", async () => {
    const plugin = await alive(cage, contributions);
    await expect(plugin.tool("slow")).rejects.toMatchObject({ code: "TIMEOUT" });
    if (cage === "wasm") await expect(plugin.tool("large")).rejects.toMatchObject({ code: "TOO_LARGE" });
    expect(await plugin.tool("produced")).toEqual({ content: "0" });
  });

  test("a channel receives on and on: what it hands in is no single call's allowance", async () => {
    const plugin = await alive(cage, contributions, { hostCalls: 20 });
    const connected = once(sockets, "connection") as Promise<[WebSocket]>;
    const channel = plugin.contributions.channels.get("line")!;
    const received: string[] = [];
    const life = new AbortController();
    closers.push(() => life.abort());
    await channel.start(async ({ id }) => void received.push(id), life.signal);
    const [line] = await connected;
    for (let number = 0; number < 30; number++) {
      line.send(String(number));
      await vi.waitFor(() => expect(received).toHaveLength(number + 1), { timeout: 3_000, interval: 2 });
      // Each call of the host renews what may be asked in a minute.
      await channel.accounts({ probe: false, signal: life.signal });
    }
  });
});
