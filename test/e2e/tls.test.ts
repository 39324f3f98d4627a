import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import type { ClientRequestArgs, IncomingHttpHeaders } from "node:http";
import { get } from "node:https";
import { connect } from "node:net";
import path from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Product, rclaw, startProduct, type TempState, tempState, token } from "../support/product.ts";
import { openClient } from "../support/ws-client.ts";

const poll = { timeout: 20_000, interval: 50 };

let state: TempState;
let product: Product;
let ca: Buffer;
const config = { gateway: { auth: { token }, tls: { enabled: true } } };

beforeAll(async () => {
  state = await tempState();
  product = await startProduct({ stateDir: state.dir, config });
  ca = await readFile(path.join(state.dir, "tls/gateway-cert.pem"));
});

/** The certificate is checked in full, name included: it is trusted here as an authority would be. */
function fetchPage(page: string): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port: product.port, path: page, ca }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    }).on("error", reject);
  });
}

async function run(stateDir: string, ...args: string[]) {
  const result = await rclaw(stateDir, args, { env: { RUSTY_CLAW_GATEWAY_TOKEN: "" } });
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into documents of every shape
  const json: any = args.includes("--json") ? JSON.parse(result.stdout) : undefined;
  return { ...result, json };
}

const setConfig = (stateDir: string, value: object): Promise<void> =>
  writeFile(path.join(stateDir, "config.json"), JSON.stringify(value), { mode: 0o600 });

describe("a gateway with TLS", () => {
  test("says so, in its output, its lock and its certificate", async () => {
    expect(product.url).toBe(`wss://127.0.0.1:${product.port}`);
    const lock = JSON.parse(await state.read("gateway.lock")) as Record<string, unknown>;
    const { fingerprint256 } = new X509Certificate(ca);
    expect(lock).toMatchObject({ url: product.url, port: product.port, tlsFingerprint: fingerprint256 });
    expect((await stat(path.join(state.dir, "tls/gateway-key.pem"))).mode & 0o777).toBe(0o600);
  });

  test("lets a client in that checks the certificate, and none that does not know it", async () => {
    const client = await openClient(product.url, { ca } as ClientRequestArgs);
    await client.nonce();
    const hello = await client.request("connect", {
      minProtocol: 3,
      maxProtocol: 4,
      client: { id: "cli", version: "1.0.0", platform: "linux", mode: "cli" },
      role: "operator",
      scopes: ["operator.read"],
      auth: { token },
    });
    expect(hello).toMatchObject({ ok: true, payload: { type: "hello-ok" } });
    expect((await client.request("health")).ok).toBe(true);
    await client.close();
    await expect(openClient(product.url)).rejects.toThrow(/self-signed/);
  });

  test("serves the chat page and the probes", async () => {
    expect(await fetchPage("/healthz")).toMatchObject({ status: 200, body: '{"ok":true}' });
    const page = await fetchPage("/");
    expect(page.status).toBe(200);
    expect(page.headers["content-security-policy"]).toContain("connect-src 'self';");
    expect(page.body).toContain("<html");
  });

  test("is talked to by the command line, which pins the certificate", async () => {
    const { code, json, stderr } = await run(state.dir, "status", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(json.gateway).toEqual({ running: true, url: product.url, pid: product.pid });
    expect(json.problems).toEqual([]);
  });

  test("answers neither plain HTTP nor an old protocol", async () => {
    const plain = connect(product.port, "127.0.0.1");
    let answer = "";
    plain.setEncoding("latin1").on("data", (text: string) => (answer += text));
    plain.on("error", () => undefined);
    plain.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(plain, "close");
    expect(answer).not.toContain("HTTP/");

    const old = connectTls({
      host: "127.0.0.1",
      port: product.port,
      ca,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await expect(once(old, "secureConnect")).rejects.toThrow(/protocol version/i);
  });

  test("gives the chat page away and back while it runs", async () => {
    await setConfig(state.dir, { gateway: { ...config.gateway, controlUi: { enabled: false } } });
    await vi.waitFor(async () => expect((await fetchPage("/")).status).toBe(404), poll);
    expect((await fetchPage("/")).body).toContain("gateway.controlUi.enabled");
    expect((await fetchPage("/webchat/app.js")).status).toBe(404);
    await setConfig(state.dir, config);
    await vi.waitFor(async () => expect((await fetchPage("/")).status).toBe(200), poll);
  });

  test("stops like any other, and comes back with the same certificate", async () => {
    const before = new X509Certificate(ca).fingerprint256;
    expect(await product.stop()).toBe(0);
    product = await startProduct({ stateDir: state.dir });
    const again = await readFile(path.join(state.dir, "tls/gateway-cert.pem"));
    expect(new X509Certificate(again).fingerprint256).toBe(before);
  });
});

describe("a machine in mode remote", () => {
  let here: TempState;
  beforeAll(async () => {
    here = await tempState();
  });
  afterAll(() => here?.[Symbol.asyncDispose]());

  const remote = (fields: object): Promise<void> =>
    setConfig(here.dir, {
      gateway: { mode: "remote", remote: { url: product.url, token, ...fields } },
    });

  test("talks to the gateway that shows the pinned certificate, and its config is its own", async () => {
    const tlsFingerprint = new X509Certificate(ca).fingerprint256;
    await remote({ tlsFingerprint });
    const { code, json, stderr } = await run(here.dir, "status", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(json.gateway).toEqual({ running: true, url: product.url });
    expect(json.config.path).toBe(path.join(state.dir, "config.json"));
    expect((await run(here.dir, "status")).stdout).toContain(product.url);
    expect((await run(here.dir, "config", "get", "gateway.remote.url")).stdout).toContain(product.url);

    const changed = await run(here.dir, "config", "set", "logging.level", "warn");
    expect(changed.code, changed.stderr).toBe(0);
    expect(await here.read("config.json")).toContain("warn");
    expect(await state.read("config.json")).not.toContain("warn");
  });

  test("says nothing to another certificate, and sends no token in the clear", async () => {
    await remote({ tlsFingerprint: "ab".repeat(32) });
    const other = await run(here.dir, "sessions", "list");
    expect([other.code, other.stdout]).toEqual([1, ""]);
    expect(other.stderr).toMatch(/another certificate than the pinned one.*\[UNAUTHORIZED\]/s);
    await remote({ url: "ws://192.0.2.1:18789" });
    const clear = await run(here.dir, "sessions", "list");
    expect([clear.code, clear.stdout]).toEqual([1, ""]);
    expect(clear.stderr).toMatch(/gateway\.remote\.url is ws:\/\/.*use wss:\/\/.*\[CONFIG_INVALID\]/s);
    expect(clear.stderr).not.toContain(token);
  });

  test("starts no gateway, and says why", async () => {
    await remote({});
    const { code, stderr } = await run(here.dir, "gateway", "--port", "0");
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /gateway\.mode is "remote".*rclaw config set gateway\.mode local.*\[CONFIG_INVALID\]/s,
    );
  });
});

test("a certificate that cannot be read keeps the gateway from starting, with the key and the file", async () => {
  await using broken = await tempState();
  const certPath = path.join(broken.dir, "nowhere.pem");
  await setConfig(broken.dir, {
    gateway: { auth: { token }, tls: { enabled: true, certPath, keyPath: certPath } },
  });
  const { code, stderr } = await run(broken.dir, "gateway", "--port", "0");
  expect(code).toBe(1);
  expect(stderr).toContain(`gateway.tls.certPath: ${certPath} cannot be read (it does not exist)`);
  expect(stderr).toContain("[CONFIG_INVALID]");
});

test("the log's level and the limits of guessing are changed while the gateway runs", async () => {
  await using quiet = await tempState();
  const limited = (level: string, maxAttempts: number): object => ({
    logging: { level },
    gateway: { auth: { token, rateLimit: { maxAttempts, exemptLoopback: false } } },
  });
  await using gateway = await startProduct({ stateDir: quiet.dir, config: limited("silent", 1_000) });
  const guess = async (): Promise<unknown> => {
    const client = await openClient(gateway.url);
    await client.nonce();
    const answer = await client.request("connect", {
      minProtocol: 3,
      maxProtocol: 4,
      client: { id: "cli", version: "1.0.0", platform: "linux", mode: "cli" },
      role: "operator",
      auth: { token: "a guess" },
    });
    client.ws.terminate();
    return answer.error?.details?.["authReason"];
  };
  for (let i = 0; i < 5; i++) expect(await guess()).toBe("token_mismatch");
  await expect(quiet.read("logs/gateway.log")).rejects.toMatchObject({ code: "ENOENT" });
  await setConfig(quiet.dir, limited("debug", 2));
  await vi.waitFor(async () => expect(await guess()).toBe("rate_limited"), poll);
  await vi.waitFor(async () => expect(await quiet.read("logs/gateway.log")).not.toBe(""), poll);
});
