import { chmod, mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import type { LLMock } from "@copilotkit/aimock";
import { beforeAll, describe, expect, test } from "vitest";
import { startModelPeer } from "../support/aimock.ts";
import { ask, type Product, say, startProduct, type TempState, tempState } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

/**
 * Rows of the attack table that concern the configuration, against the whole product. What
 * reads, merges and stores it is tested on its own: SEC-140 include.test.ts, SEC-141, SEC-144
 * and SEC-148 load.test.ts, edit.test.ts and methods.test.ts, SEC-146 methods.test.ts; SEC-042
 * is in attacks-methods.test.ts, SEC-143 in attacks-leaks.test.ts.
 */
let mock: LLMock;
let state: TempState;
let stateDir: string;
let workspace: string;
let product: Product;
let client: Client;

beforeAll(async () => {
  ({ mock } = await startModelPeer());
  state = await tempState();
  stateDir = path.join(state.dir, "state");
  workspace = path.join(state.dir, "workspace");
  await mkdir(stateDir, { mode: 0o700 });
  await mkdir(workspace);
  product = await startProduct({
    stateDir,
    config: {
      models: {
        providers: {
          openai: { baseUrl: `${mock.url}/v1`, apiKey: "sk-test-key-000000000000", models: [{ id: "m" }] },
        },
      },
      agents: { defaults: { model: "openai/m", workspace, maxTurns: 5 } },
    },
  });
  client = await product.connect();
});

const config = (): Promise<string> => readFile(path.join(stateDir, "config.json"), "utf8");

describe("SEC-145: a model that obeys a stranger does not get at the configuration", () => {
  /** The keys that decide who may do what; any of them written would be enough. */
  const wanted = [
    '{ "tools": { "profile": "full" } }',
    '{ "gateway": { "auth": { "mode": "none" } } }',
    '{ "channels": { "telegram": { "dmPolicy": "open", "allowFrom": ["*"] } } }',
    '{ "commands": { "ownerAllowFrom": ["*"] } }',
    '{ "plugins": { "entries": { "exec": { "config": { "sandbox": "off" } } }, "allow": ["evil"] } }',
  ];
  const attempts = (content: string): readonly (readonly [string, Record<string, unknown>])[] => {
    const absolute = path.join(stateDir, "config.json");
    const oneLine = content.replaceAll("'", "");
    return [
      ["write", { path: absolute, content }],
      ["write", { path: "../state/config.json", content }],
      ["write", { path: "link/config.json", content }],
      ["write", { path: "~/config.json", content }],
      ["edit", { path: absolute, oldText: "openai", newText: "evil" }],
      ["edit", { path: "../state/config.json", oldText: "openai", newText: "evil" }],
      ["exec", { command: `printf '%s' '${oneLine}' > ${absolute}` }],
      ["exec", { command: `cp /dev/stdin ../state/config.json <<'X'\n${oneLine}\nX` }],
      ["exec", { command: `python3 -c 'open("${absolute}","w").write("{}")'` }],
      ["exec", { command: `rm -f ${absolute}` }],
      ["config_set", { key: "gateway.auth.mode", value: "none" }],
      ["gateway", { action: "config.patch", raw: content }],
    ];
  };

  test("whatever tool it calls", async () => {
    await symlink(stateDir, path.join(workspace, "link"));
    const before = await config();
    let count = 0;
    for (const content of wanted) {
      for (const [name, args] of attempts(content)) {
        const id = `145-${++count}`;
        mock.reset();
        mock.on(
          { userMessage: id, hasToolResult: false },
          { toolCalls: [{ id, name, arguments: JSON.stringify(args) }] },
        );
        mock.onMessage(/./, { content: "done" });
        const sessionKey = `agent:main:${id}`;
        expect((await say(client, `do ${id}`, { sessionKey })).payload.state).toBe("final");
        const { messages } = await ask(client, "chat.history", { sessionKey });
        // The tool was asked for, or this would prove nothing.
        expect(messages.map(({ role }: { role: string }) => role)).toContain("toolResult");
        expect(`${name}: ${await config()}`).toBe(`${name}: ${before}`);
      }
    }
    expect((await ask(client, "config.get")).raw).not.toContain("evil");
  }, 120_000);

  test("and it reads no secret there either", async () => {
    for (const args of [
      { path: path.join(stateDir, "config.json") },
      { path: "../state/config.json" },
      { path: "link/config.json" },
      { path: "/proc/self/environ" },
      { path: `/proc/${product.pid}/environ` },
    ]) {
      mock.reset();
      mock.on(
        { userMessage: "read it", hasToolResult: false },
        { toolCalls: [{ id: "r", name: "read", arguments: JSON.stringify(args) }] },
      );
      mock.onMessage(/./, { content: "done" });
      const sessionKey = `agent:main:read-${Buffer.from(args.path).toString("hex").slice(-40)}`;
      await say(client, "read it", { sessionKey });
      const { messages } = await ask(client, "chat.history", { sessionKey });
      const result = messages.find(({ role }: { role: string }) => role === "toolResult");
      expect(result.isError).toBe(true);
      expect(JSON.stringify(result)).not.toMatch(/sk-test-key|test-token/);
    }
  });
});

test("SEC-141: prototype keys in the configuration change nothing and nobody", async () => {
  const before = await config();
  const { hash } = await ask(client, "config.get");
  for (const key of ["__proto__", "constructor", "prototype"]) {
    for (const raw of [
      `{ "${key}": { "isAdmin": true } }`,
      `{ "channels": { "telegram": { "accounts": { "${key}": { "botToken": "1:x" } } } } }`,
    ]) {
      for (const method of ["config.set", "config.patch"]) {
        const { ok, error } = await client.request(method, { raw, baseHash: hash });
        expect(`${method} ${raw} ${String(ok)}`).toBe(`${method} ${raw} false`);
        expect(error).toMatchObject({ code: "INVALID_REQUEST", message: "invalid config" });
      }
    }
  }
  const account = await client.request("plugins.add", {
    id: "telegram",
    account: "__proto__",
    values: { botToken: "1:x" },
  });
  expect(account.error?.message).toMatch(/^invalid plugins.add params/);
  const value = await client.request("plugins.add", { id: "telegram", values: { constructor: "x" } });
  expect(value.ok).toBe(false);
  expect(await config()).toBe(before);
});

test("SEC-148: what others may read or write is closed when the gateway starts", async () => {
  await using open = await tempState();
  const folder = path.join(open.dir, "state");
  await mkdir(folder);
  await chmod(folder, 0o777);
  const model = {
    providers: { openai: { baseUrl: `${mock.url}/v1`, apiKey: "secret:openai.key", models: [{ id: "m" }] } },
  };
  await writeFile(path.join(folder, "config.json"), JSON.stringify({ models: model }));
  await writeFile(path.join(folder, "secrets.json"), '{ "openai.key": "sk-test-key-000000000000" }');
  for (const name of ["config.json", "secrets.json"]) await chmod(path.join(folder, name), 0o666);
  await using other = await startProduct({ stateDir: folder });
  // A secret is read when somebody needs it.
  await say(await other.connect(), "hello");
  for (const name of ["", "config.json", "secrets.json", "sessions", "gateway.lock"]) {
    const { mode } = await stat(path.join(folder, name));
    expect(`${name} ${(mode & 0o077).toString(8)}`).toBe(`${name} 0`);
  }
});

test("SEC-039: a placeholder is no token to start with", async () => {
  await using folder = await tempState();
  for (const bad of ["undefined", "null", ""]) {
    const config = { gateway: { auth: { token: bad } } };
    const started = startProduct({ stateDir: folder.dir, config, env: { RUSTY_CLAW_GATEWAY_TOKEN: "" } });
    await using other = await started.catch(() => undefined);
    if (!other) continue;
    const refused = other.connect({ token: bad });
    await expect(refused).rejects.toThrow(/unauthorized|device identity required/);
  }
});
