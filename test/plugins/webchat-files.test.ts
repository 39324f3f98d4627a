import { link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPlain } from "../../plugins/channels/webchat/files.ts";
import { webchatRoutes } from "./webchat-peer.ts";

const never = new AbortController().signal;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-page-"));
  await mkdir(path.join(dir, "page"));
  await writeFile(path.join(dir, "page/app.js"), "hello");
  await writeFile(path.join(dir, "config.json"), "CANARY");
});
afterEach(() => rm(dir, { recursive: true }));

const read = (name: string) => readPlain(path.join(dir, "page"), name, never);

test("SEC-047 a link in the folder of the page shows nothing of what it leads to", async () => {
  await symlink("../config.json", path.join(dir, "page/leak.js"));
  await symlink("leak.js", path.join(dir, "page/twice.js"));
  await symlink("..", path.join(dir, "page/up.js"));
  await mkdir(path.join(dir, "page/folder.js"));
  for (const name of ["leak.js", "twice.js", "up.js", "folder.js", "none.js"])
    expect(await read(name), name).toBeUndefined();
  expect(await read("app.js")).toBe("hello");
  // Package stores link files hard; what such a link leads to is the file itself.
  await link(path.join(dir, "page/app.js"), path.join(dir, "page/again.js"));
  expect(await read("again.js")).toBe("hello");
});

const asking = (at: string, query = {}) => ({
  method: "GET",
  path: at,
  query,
  headers: {},
  body: new Uint8Array(),
});

test.each([
  "/webchat/../config.json",
  "/webchat/..%2f..%2fconfig.json",
  "/webchat/app.js\0.css",
  "/webchat/a/../app.js",
])("SEC-047 %j is no file of the page", async (at) => {
  const routes = await webchatRoutes();
  expect((await routes.get("GET /webchat/*")?.handle(asking(at), never))?.status).toBe(404);
});

test("OpenClaw's page is told how to call the assistant, and that agents have no pictures", async () => {
  const routes = await webchatRoutes();
  const config = await routes.get("GET /__openclaw/control-ui-config.json")?.handle(asking("/x"), never);
  expect(config?.body).toBe(
    '{"basePath":"","assistantName":"Assistant","assistantAvatar":"A","assistantAgentId":"main"}',
  );
  const avatar = (at: string, query = {}) => routes.get("GET /avatar/*")?.handle(asking(at, query), never);
  expect(await avatar("/avatar/main", { meta: "1" })).toMatchObject({
    status: 200,
    body: '{"avatarUrl":null}',
  });
  expect(await avatar("/avatar/main")).toMatchObject({ status: 404 });
  expect(await avatar("/avatar/a/b", { meta: "1" })).toMatchObject({ status: 404 });
});
