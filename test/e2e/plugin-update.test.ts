import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildComponent } from "../../plugins/services/cli/author/build-component.ts";
import { type ModelPeer, startModelPeer, toolResult } from "../support/aimock.ts";
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

const root = path.resolve(import.meta.dirname, "../..");
const held = new Set<http.ServerResponse>();
const server = http.createServer((_request, response) => {
  held.add(response);
  server.emit("held");
});

let place: string;
let folder: string;
let state: TempState;
let model: ModelPeer;
let product: Product;
let client: Client;
let env: NodeJS.ProcessEnv;

/** A folder that a person would install from. */
async function versionAt(
  version: string,
  { first = "", inCall = "", tools = ["which", "linger"] } = {},
): Promise<string> {
  const home = path.join(folder, version);
  await mkdir(home);
  const entry = path.join(folder, `${version}.ts`);
  await writeFile(
    entry,
    `export default {
      activate(ctx) {
        ${first}
        const tool = (name, execute) =>
          ctx.tools.register({ name, description: "For tests.", params: { type: "object" }, execute });
        tool("which", async () => { ${inCall}; return { content: "version ${version}" }; });
        tool("linger", async (params, { signal }) => ({
          content: "version ${version} " + (await (await ctx.fetch("http://${place}/", { signal })).text()),
        }));
      },
    };`,
  );
  const sdkFolder = path.join(root, "plugin-sdk");
  await writeFile(
    path.join(home, "plugin.wasm"),
    await buildComponent({ entry, witFolder: path.join(root, "wit/since-v0.1.0"), sdkFolder }),
  );
  const manifest = {
    id: "lingers",
    name: "Lingers",
    description: "Takes its time.",
    version,
    runtime: "wasm",
    entry: "plugin.wasm",
    contributes: { tools },
    permissions: { net: [place], limits: { entryMs: 3_000 } },
  };
  await writeFile(path.join(home, "rclaw.plugin.json5"), JSON.stringify(manifest));
  return home;
}

let turn = 0;
async function useTool(name: string): Promise<string> {
  const words = `turn ${++turn} of it`;
  model.answer(words, { toolCalls: [{ name, arguments: {}, id: `call_${turn}` }] }, (request) => ({
    content: `it says: ${toolResult(request)}`,
  }));
  const { payload } = await say(client, words, { sessionKey: `turn-${turn}` });
  return JSON.stringify(payload.message);
}
const plugin = async (...args: string[]) => {
  const result = await rclaw(state.dir, ["plugin", ...args]);
  return { code: result.code, text: `${result.stdout}${result.stderr}` };
};
const info = (): Promise<{ version: string; state: string }> =>
  ask(client, "plugins.info", { id: "lingers" });
/** What is in force, and what a rollback leads to. */
async function locked(): Promise<readonly (string | undefined)[]> {
  const { version, previous } = JSON.parse(await state.read("plugins/rclaw.lock")).plugins.lingers;
  return [version, previous?.version];
}
const kept = (): Promise<string[]> => readdir(path.join(state.dir, "plugins/.store/lingers"));

beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  ({ dir: folder } = await tempState());
  state = await tempState();
  model = await startModelPeer();
  const { config, ...openai } = model.openai();
  env = openai.env;
  product = await startProduct({ stateDir: state.dir, env, config });
  client = await product.connect();
}, 60_000);
afterAll(async () => {
  server.closeAllConnections();
  server.close();
});

test("an update lets the call that is under way finish, and the next one has the new version", async () => {
  const added = await plugin("add", await versionAt("1.0.0"), "--yes");
  expect(added).toMatchObject({ code: 0, text: expect.stringContaining("lingers 1.0.0 is installed") });
  expect(await useTool("which")).toContain("version 1.0.0");

  const seen = once(server, "held");
  const begun = useTool("linger");
  await seen;
  const updated = await plugin("add", await versionAt("2.0.0"), "--yes");
  expect(updated).toMatchObject({ code: 0, text: expect.stringContaining("replaced 1.0.0") });
  expect(await useTool("which")).toContain("version 2.0.0");
  for (const response of held) response.end("in the end");
  expect(await begun).toContain("version 1.0.0 in the end");
  expect(await info()).toMatchObject({ version: "2.0.0", state: "active" });
});

test("rollback goes back, and forth again", async () => {
  for (const version of ["1.0.0", "2.0.0"]) {
    expect(await plugin("rollback", "lingers")).toMatchObject({
      code: 0,
      text: expect.stringContaining(`lingers is ${version} again`),
    });
    expect(await useTool("which")).toContain(`version ${version}`);
  }
});

test("a version that does not come to life changes nothing, and the person is told", async () => {
  const bad = await versionAt("3.0.0", { first: `throw new Error("no luck");` });
  const refused = await plugin("add", bad, "--yes");
  expect(refused.code).not.toBe(0);
  expect(refused.text).toContain('version 3.0.0 of plugin "lingers" did not come to life, so 2.0.0 stays');
  expect(await useTool("which")).toContain("version 2.0.0");
  expect(await info()).toMatchObject({ version: "2.0.0", state: "active" });
  // Nothing leads to it any more, and it is off the disk.
  expect(await locked()).toEqual(["2.0.0", "1.0.0"]);
  expect(await kept()).toHaveLength(2);
});

test("a version that dies at its first call is undone by itself, for good", async () => {
  expect(await useTool("which")).toContain("version 2.0.0");
  const added = await plugin("add", await versionAt("4.0.0", { inCall: "for (;;)" }), "--yes");
  expect(added).toMatchObject({ code: 0, text: expect.stringContaining("replaced 2.0.0") });
  expect(await locked()).toEqual(["4.0.0", "2.0.0"]);
  expect(await useTool("which")).not.toContain("version");
  expect(await useTool("which")).toContain("version 2.0.0");
  await expect.poll(locked, { timeout: 10_000 }).toEqual(["2.0.0", "1.0.0"]);
  await expect.poll(info, { timeout: 10_000 }).toMatchObject({ version: "2.0.0", state: "active" });
  await expect.poll(kept).toHaveLength(2);

  // The owner can find out why, and nothing was started anew for it.
  const doctor = await plugin("doctor", "lingers");
  expect(doctor.text).toMatch(/lingers is back to the version before: the new one broke \(.*computed/);
  const logs = await plugin("logs", "lingers");
  expect(logs.text).toContain("an update is undone: the new version broke");
  expect(await useTool("which")).toContain("version 2.0.0");

  await product.kill();
  product = await startProduct({ stateDir: state.dir, env });
  client = await product.connect();
  expect(await info()).toMatchObject({ version: "2.0.0" });
  expect(await useTool("which")).toContain("version 2.0.0");
  expect(await locked()).toEqual(["2.0.0", "1.0.0"]);
  expect(await plugin("rollback", "lingers")).toMatchObject({
    code: 0,
    text: expect.stringContaining("lingers is 1.0.0 again"),
  });
  expect(await useTool("which")).toContain("version 1.0.0");
});

test("a version that adds something and does not come to life is undone too", async () => {
  expect(await info()).toMatchObject({ version: "1.0.0", state: "active" });
  const bad = { first: `throw new Error("no luck");`, tools: ["which", "linger", "more"] };
  const refused = await plugin("add", await versionAt("4.5.0", bad), "--yes", "--accept", "widened");
  expect(refused.code).not.toBe(0);
  expect(refused.text).toContain("did not come to life, so 1.0.0 stays");
  expect(await info()).toMatchObject({ version: "1.0.0", state: "active" });
  expect(await useTool("which")).toContain("version 1.0.0");
  expect(await locked()).toEqual(["1.0.0", "2.0.0"]);
  expect(await kept()).toHaveLength(2);
});

test("where the version before is damaged on the disk, the lock stays as it is and the log says so", async () => {
  const folders = new Set(await kept());
  expect(await plugin("add", await versionAt("5.0.0", { inCall: "for (;;)" }), "--yes")).toMatchObject({
    code: 0,
  });
  const before = await locked();
  expect(before).toEqual(["5.0.0", "1.0.0"]);
  for (const folder of folders)
    await writeFile(path.join(state.dir, "plugins/.store/lingers", folder, "extra.txt"), "not of it");
  expect(await useTool("which")).not.toContain("version");
  expect(await useTool("which")).toContain("version 1.0.0");
  await expect
    .poll(async () => (await plugin("logs", "lingers")).text, { timeout: 10_000 })
    .toContain("still names the one");
  expect(await locked()).toEqual(before);
});

test("what was changed on the disk since it was installed is not run, in a cage either", async () => {
  const { version } = await info();
  for (const folderName of await kept()) {
    const file = path.join(state.dir, "plugins/.store/lingers", folderName, "plugin.wasm");
    await writeFile(file, Buffer.concat([await readFile(file), Buffer.from([0, 2, 1, 120])]));
  }
  await plugin("disable", "lingers");
  await plugin("enable", "lingers");
  expect(await useTool("which")).not.toContain(`version ${version}`);
  expect((await plugin("doctor", "lingers")).text).toMatch(
    /plugin\.wasm" was changed since it was installed/,
  );
});
