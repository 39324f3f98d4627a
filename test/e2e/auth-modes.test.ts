import { chmod, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { startFresh } from "../support/fresh.ts";
import { type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";
import { connectClient, type ConnectOptions, createDevice, type Frame } from "../support/ws-client.ts";

const page = (product: Product) => ({ origin: `http://127.0.0.1:${product.port}` });

async function attempt(product: Product, options: ConnectOptions): Promise<Frame> {
  const { client, answer } = await connectClient(product.url, options);
  if (answer.ok) await client.close();
  return answer;
}

describe("a proxy that signs people in", () => {
  const user = "x-auth-user";
  const start = (state: TempState, more: object = {}): Promise<Product> =>
    startProduct({
      stateDir: state.dir,
      config: {
        gateway: {
          trustedProxies: ["127.0.0.1"],
          auth: {
            mode: "trusted-proxy",
            trustedProxy: { userHeader: user, requiredHeaders: ["x-auth-proof"], allowUsers: ["ada"] },
          },
          ...more,
        },
      },
    });
  const from = (name: string) => ({ "x-forwarded-for": "203.0.113.9", "x-auth-proof": "1", [user]: name });

  test("lets in whom it names and nobody else", async () => {
    await using state = await tempState();
    await using product = await start(state);
    const ok = await attempt(product, { headers: from("ada") });
    expect(ok.payload.auth).toEqual({ role: "operator", scopes: ["operator.admin"] });
    const refused = async (headers: Record<string, string>) =>
      (await attempt(product, { headers })).error?.details?.["authReason"];
    expect(await refused(from("eve"))).toBe("trusted_proxy_user_not_allowed");
    expect(await refused(from(""))).toBe("trusted_proxy_user_missing");
    expect(await refused({ "x-forwarded-for": "203.0.113.9", [user]: "ada" })).toBe(
      "trusted_proxy_missing_header",
    );
  });

  test("serves a Control UI without a device identity, but not from a stranger's page", async () => {
    await using state = await tempState();
    await using product = await start(state);
    const client = { id: "openclaw-control-ui", mode: "webchat" };
    const own = { ...from("ada"), host: "chat.example", origin: "https://chat.example" };
    expect((await attempt(product, { client, headers: own })).ok).toBe(true);
    const strange = await attempt(product, { client, headers: { ...own, origin: "https://evil.example" } });
    expect(strange.error?.message).toContain("origin not allowed");
  });

  test("whoever is no proxy cannot claim to be one; the command line of this machine has the token", async () => {
    await using state = await tempState();
    await using product = await start(state, { trustedProxies: ["10.0.0.1"] });
    await expect(connectClient(product.url, { headers: from("ada") })).rejects.toThrow("403");
    const direct = await attempt(product, { headers: { "x-auth-proof": "1", [user]: "ada" } });
    expect(direct.error?.message).toBe("device identity required");
    expect((await attempt(product, { token })).ok).toBe(true);
  });
});

describe("people of the tailnet", () => {
  /** What `tailscale whois` answers stands in a program of that name. */
  async function start(state: TempState, allowTailscale: boolean): Promise<Product> {
    const bin = path.join(state.dir, "bin");
    await mkdir(bin);
    const program = path.join(bin, "tailscale");
    const answer = '{"UserProfile":{"LoginName":"ada@example.com"}}';
    await writeFile(
      program,
      `#!/bin/sh\n[ "$1 $2 $3" = "whois --json 100.64.0.7" ] && echo '${answer}' && exit 0\nexit 1\n`,
    );
    await chmod(program, 0o755);
    const env = { PATH: `${bin}:${process.env["PATH"]}` };
    return startProduct({
      stateDir: state.dir,
      env,
      config: { gateway: { auth: { allowTailscale } } },
    });
  }
  const from = (ip: string, login: string) => ({
    "x-forwarded-for": ip,
    "x-forwarded-proto": "https",
    "tailscale-user-login": login,
    host: "box.tail1234.ts.net",
  });

  test("come in when the local Tailscale says the same of their address", async () => {
    await using state = await tempState();
    await using product = await start(state, true);
    const ok = await attempt(product, { headers: from("100.64.0.7", "Ada@example.com") });
    expect(ok.payload.auth).toEqual({ role: "operator", scopes: ["operator.admin"] });
    const refusal = async (ip: string, login: string) =>
      (await attempt(product, { headers: from(ip, login) })).error?.message;
    expect(await refusal("100.64.0.7", "eve@example.com")).toBe("device identity required");
    expect(await refusal("100.64.0.8", "ada@example.com")).toBe("device identity required");
    expect(await refusal("$(reboot)", "ada@example.com")).toBe("device identity required");
    // Plain HTTP asks for the token all the same.
    const headers = from("100.64.0.7", "ada@example.com");
    const numbers = async (more: object) =>
      (await fetch(`http://127.0.0.1:${product.port}/metrics`, { headers: { ...headers, ...more } })).status;
    expect(await numbers({})).toBe(401);
    expect(await numbers({ authorization: `Bearer ${token}` })).toBe(200);
    // The token still opens the door.
    expect((await attempt(product, { token, headers: from("100.64.0.8", "x") })).ok).toBe(true);
  });

  test("are strangers where nobody allowed it", async () => {
    await using state = await tempState();
    await using product = await start(state, false);
    const headers = from("100.64.0.7", "ada@example.com");
    await expect(connectClient(product.url, { headers })).rejects.toThrow("403");
  });
});

test("with a password, the token is worth nothing and the password is counted", async () => {
  await using product = await startFresh({
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "" },
    config: { gateway: { auth: { mode: "password", password: "correct horse battery staple" } } },
  });
  expect((await attempt(product, { password: "correct horse battery staple" })).ok).toBe(true);
  const reason = async (options: ConnectOptions) =>
    (await attempt(product, options)).error?.details?.["authReason"];
  expect(await reason({ token: "correct horse battery staple" })).toBe("password_missing");
  const guess = { password: "wrong", headers: page(product) };
  for (let i = 0; i < 10; i++) expect(await reason(guess)).toBe("password_mismatch");
  expect(await reason(guess)).toBe("rate_limited");
  // The page is locked out; the command line of this machine is not.
  expect((await attempt(product, { password: "correct horse battery staple" })).ok).toBe(true);
});

test("the Android app of early 2026 names no scopes, and gets those of a chat", async () => {
  await using product = await startFresh();
  const app = {
    token,
    scopes: [],
    device: createDevice(),
    client: { id: "openclaw-control-ui", mode: "ui", platform: "android" },
    headers: page(product),
  };
  const first = await attempt(product, app);
  expect(first.payload.auth.scopes).toEqual(["operator.read", "operator.write"]);
  const { client, answer } = await connectClient(product.url, app);
  expect(answer.ok).toBe(true);
  expect((await client.request("chat.history", { sessionKey: "main" })).ok).toBe(true);
  expect((await client.request("config.schema")).error?.message).toBe("missing scope: operator.admin");
  await client.close();
  // It comes back with the token that it was given, and still names none.
  const back = await connectClient(product.url, { ...app, token: answer.payload.auth.deviceToken });
  expect((await back.client.request("chat.history", { sessionKey: "main" })).ok).toBe(true);
  expect((await back.client.request("config.schema")).error?.message).toBe("missing scope: operator.admin");
  await back.client.close();
  // Whoever is no phone gets nothing for naming nothing.
  const other = { ...app, device: createDevice(), client: { ...app.client, platform: "linux" } };
  expect((await attempt(product, other)).payload.auth.scopes).toEqual([]);
});
