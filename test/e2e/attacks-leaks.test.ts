import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ask,
  type Product,
  rclaw,
  say,
  startProduct,
  type TempState,
  tempState,
} from "../support/product.ts";
import { type Client, connectClient, type Frame } from "../support/ws-client.ts";

/**
 * SEC-143 and SEC-196: secrets the gateway holds, in every place it may hold them and in
 * forms that no pattern knows, appear in nothing that anybody is shown.
 */
const canaries = {
  gatewayToken: "canary.gateway.token.5f1d7c2e",
  telegramConfig: "7000000001:canary_telegram_config_8d2e6a91b3c4",
  telegramSecret: "7000000002:canary_telegram_secret_1f9b3d57e8a0",
  anthropicConfig: "canary.anthropic.config.77aa10b2",
  openaiEnv: "canary.openai.env.c0ffee1234",
  execEnv: "canary.exec.env.99887766",
};
/** Given by strangers and by people who mistype; not to be written down either. */
const foreign = {
  guess: "canary.guess.0a1b2c3d4e5f",
  query: "canary.query.6f5e4d3c2b1a",
  added: "7000000003:canary_telegram_added_aa55aa55aa55aa",
};

let state: TempState;
let peer: Server;
let product: Product;
/** Everything that was shown to anybody, by who showed it. */
const shown = new Map<string, string>();
const show = (where: string, text: string): void => void shown.set(where, (shown.get(where) ?? "") + text);

/** How the peer refuses: an error of each kind takes another way to the person. */
let status = 401;

/** A provider and a platform at once, which refuses everything and repeats what it was given. */
function hostilePeer(): Promise<Server> {
  const server = createServer((request, response) => {
    const { authorization = "", "x-api-key": key = "" } = request.headers;
    const message = `invalid credentials ${authorization} ${String(key)} for ${request.url ?? ""}`;
    response.writeHead(status, { "content-type": "application/json", "x-echo": authorization });
    response.end(
      JSON.stringify({
        ok: false,
        error_code: 401,
        description: message,
        error: { type: "authentication_error", message },
      }),
    );
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

const config = (url: string): object => ({
  gateway: { auth: { token: canaries.gatewayToken } },
  models: {
    providers: {
      anthropic: { apiKey: canaries.anthropicConfig, baseUrl: url },
      openai: { baseUrl: `${url}/v1`, models: [{ id: "m" }] },
    },
  },
  agents: { defaults: { retry: { attempts: 1 } } },
  channels: {
    telegram: {
      apiRoot: url,
      botToken: canaries.telegramConfig,
      accounts: { second: { botToken: "secret:telegram.second" } },
    },
  },
  plugins: { entries: { exec: { config: { env: { DEPLOY_KEY: canaries.execEnv } } } } },
});

beforeAll(async () => {
  state = await tempState();
  peer = await hostilePeer();
  const url = `http://127.0.0.1:${(peer.address() as AddressInfo).port}`;
  await writeFile(
    path.join(state.dir, "secrets.json"),
    JSON.stringify({ "telegram.second": canaries.telegramSecret }),
    { mode: 0o600 },
  );
  product = await startProduct({
    stateDir: state.dir,
    config: config(url),
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "", OPENAI_API_KEY: canaries.openaiEnv },
    args: ["--verbose"],
  });
  await everything(await product.connect({ token: canaries.gatewayToken }));
  await strangers();
  await commands();
  show("stderr", product.stderr());
  show(
    "command line",
    process.platform === "linux" ? await readFile(`/proc/${product.pid}/cmdline`, "utf8") : "",
  );
  await product.stop();
}, 60_000);
afterAll(async () => {
  peer.close();
});

/** Every method, with params that work and params that do not. */
async function everything(client: Client): Promise<void> {
  const reader = await product.connect({ token: canaries.gatewayToken, scopes: ["operator.read"] });
  for (const model of ["anthropic/claude-x", "openai/m"]) {
    const sessionKey = `agent:main:${model.split("/")[0]}`;
    await ask(client, "sessions.patch", { key: sessionKey, model });
    for (status of [400, 403, 404, 429, 500, 529, 401]) {
      expect((await say(client, "hello", { sessionKey })).payload.state).toBe("error");
      const idempotencyKey = `${sessionKey}-${status}`;
      await client.request("agent", { message: "hello", sessionKey, idempotencyKey });
      await client.request("agent.wait", { runId: idempotencyKey });
    }
  }
  const { raw, hash } = await ask(client, "config.get");
  const params: Record<string, readonly object[]> = {
    "config.set": [
      { raw, baseHash: hash },
      { raw: `{ gateway: { auth: { token: "${canaries.gatewayToken}" }`, baseHash: hash },
      { raw: `{ gateway: { auth: { token: ["${canaries.gatewayToken}"] } } }`, baseHash: hash },
      { raw, baseHash: canaries.gatewayToken },
    ],
    "config.patch": [
      { raw: `{ channels: { telegram: { botToken: ["${canaries.telegramConfig}"] } } }`, baseHash: hash },
      { raw: `{ nonsense: "${canaries.anthropicConfig}" `, baseHash: hash },
    ],
    "plugins.info": [{ id: "telegram" }, { id: "anthropic" }],
    "plugins.plan": [{ id: "telegram" }, { id: "anthropic" }, { id: "exec" }],
    "plugins.add": [{ id: "telegram", account: "third", values: { botToken: foreign.added } }],
    "plugins.reload": [{ id: "anthropic" }, { id: "telegram" }],
    "channels.status": [{ probe: true, timeoutMs: 2_000 }, {}],
    "channels.logout": [{ channel: "telegram", accountId: "no-such" }],
    "plugins.logout": [{ channel: "telegram", account: "no-such" }],
    "chat.history": ["anthropic", "openai"].map((name) => ({ sessionKey: `agent:main:${name}` })),
    "sessions.list": [{ includeLastMessage: true, includeDerivedTitles: true }],
    "sessions.preview": [{ keys: ["agent:main:anthropic", "agent:main:openai"] }],
    "sessions.patch": [{ key: canaries.gatewayToken, label: 5 }],
    health: [{ probe: true }, {}],
    "pairing.list": [{ channel: "telegram" }],
  };
  const { methods } = (await connectClient(product.url, { token: canaries.gatewayToken })).answer.payload
    .features as { methods: string[] };
  for (const method of methods)
    for (const given of params[method] ?? [{}, { "no such member": 1 }]) await client.request(method, given);
  for (const method of methods) await reader.request(method, params[method]?.[0] ?? {});
  for (const { frames } of [client, reader])
    for (const frame of frames as Frame[])
      show(frame.type === "event" ? `event ${frame.event}` : "answers", JSON.stringify(frame));
}

async function strangers(): Promise<void> {
  const { client, answer } = await connectClient(product.url, { token: foreign.guess });
  show("refusal", JSON.stringify(answer) + (await client.closed).reason);
  for (const url of [
    `/?token=${foreign.query}`,
    `/nothing/here?token=${foreign.query}&api_key=${foreign.query}`,
  ]) {
    const response = await fetch(`${product.http}${url}`, {
      headers: { authorization: `Bearer ${foreign.guess}` },
    });
    show("page", (await response.text()) + JSON.stringify([...response.headers]));
  }
}

async function commands(): Promise<void> {
  const runs = [
    "status",
    "config get",
    "config get gateway",
    "config get channels",
    "config validate",
    "channels status",
    "channels list",
    "plugin list",
    "plugin info telegram",
    "plugin info anthropic",
    "sessions list",
    "agent --message hello",
    "no-such-command",
  ];
  for (const args of runs) {
    for (const json of [[], ["--json"]]) {
      const { stdout, stderr } = await rclaw(state.dir, [...args.split(" "), ...json], {
        env: { RUSTY_CLAW_GATEWAY_TOKEN: "", OPENAI_API_KEY: canaries.openaiEnv },
      });
      show(`rclaw ${args}`, stdout + stderr);
    }
  }
}

test("SEC-143 SEC-196: nothing that is shown holds a secret", () => {
  const leaks: string[] = [];
  for (const [where, text] of shown) {
    for (const [name, secret] of Object.entries({ ...canaries, ...foreign })) {
      const at = text.indexOf(secret);
      if (at >= 0) leaks.push(`${where} shows ${name}: ${text.slice(Math.max(0, at - 120), at + 60)}`);
    }
  }
  expect(leaks).toEqual([]);
  // Otherwise there would be nothing to leak.
  expect(shown.get("answers")).toContain("invalid credentials");
  expect(shown.get("answers")).toContain("__OPENCLAW_REDACTED__");
  for (const [where, text] of shown)
    if (where.startsWith("rclaw ")) expect(`${where}: ${text.length > 20}`).toBe(`${where}: true`);
});

test("SEC-143 SEC-196: no file but those made for secrets holds one", async () => {
  for (const [name, secret] of Object.entries(canaries)) {
    const files = await state.filesWith(secret);
    const meant =
      name === "telegramSecret" ? /^secrets\.json$/ : /^config(?:\.last-good)?\.json(?:\.bak(?:\.\d)?)?$/;
    expect({ name, files: files.filter((file) => !meant.test(file)) }).toEqual({ name, files: [] });
    if (name !== "openaiEnv") expect(files).not.toEqual([]);
  }
  for (const secret of Object.values(foreign)) expect(await state.filesWith(secret)).toEqual([]);
});

test("SEC-143: what was hidden is still there after it went out and came back", async () => {
  const text = await state.read("config.json");
  for (const secret of [
    canaries.gatewayToken,
    canaries.telegramConfig,
    canaries.anthropicConfig,
    canaries.execEnv,
  ])
    expect(text).toContain(secret);
  expect(text).not.toContain("__OPENCLAW_REDACTED__");
});
