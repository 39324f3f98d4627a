import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Config } from "@rclaw/plugin-sdk/services/config";
import type { Tls } from "@rclaw/plugin-sdk/services/listening";
import type { LockHolder } from "@rclaw/plugin-sdk/services/sessions";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { silent } from "../../kernel/log.ts";
import { connectClient } from "../../plugins/services/terminal/client.ts";
import { localTarget, type Target, targetOf } from "../../plugins/services/terminal/target.ts";
import { openTls } from "../../plugins/services/listening/tls.ts";
import { startGateway, token } from "../kernel/gateway/gateway.ts";

const digest = "ab".repeat(32);
const printed = digest.toUpperCase().match(/../g)?.join(":") ?? "";
const holder: LockHolder = { pid: 7, startedAt: 1, url: "ws://127.0.0.1:1", port: 1 };

function find(
  gateway: object,
  { lock, local = false }: { lock?: LockHolder; local?: boolean } = {},
): Promise<Target | undefined> {
  return (local ? localTarget : targetOf)({
    gatewayConfig: () => gateway as Config["gateway"],
    running: async () => lock,
    credentials: () => ({ token: "the token of this machine" }),
    resolveSecret: async (value) => value.replace("secret:other", "from secrets.json"),
  });
}
const remote = (fields: object): object => ({ mode: "remote", remote: fields });

afterEach(() => vi.unstubAllEnvs());

describe("which gateway a command talks to", () => {
  test("is the one that runs on the state folder, with its certificate pinned", async () => {
    const local = { mode: "local", remote: { url: "wss://a.example", token: "x" } };
    expect(await find(local)).toBeUndefined();
    const { url: _url, ...starting } = holder;
    expect(await find(local, { lock: starting })).toBeUndefined();
    const known = { url: holder.url, pid: 7, token: "the token of this machine" };
    expect(await find(local, { lock: holder })).toEqual(known);
    const secure = { ...holder, url: "wss://127.0.0.1:1", tlsFingerprint: printed };
    expect(await find(local, { lock: secure })).toEqual({ ...known, url: secure.url, fingerprint: digest });
  });

  test("is the configured one in mode remote, which never sees this machine's token", async () => {
    const given = remote({ url: "wss://a.example:18789", token: "secret:other", tlsFingerprint: printed });
    expect(await find(given, { lock: holder })).toEqual({
      url: "wss://a.example:18789",
      token: "from secrets.json",
      fingerprint: digest,
    });
    expect(await find(given, { lock: holder, local: true })).toMatchObject({ pid: 7 });
    expect(await find(remote({ url: "wss://a.example", password: "p" }))).toEqual({
      url: "wss://a.example",
      password: "p",
    });
    vi.stubEnv("RUSTY_CLAW_GATEWAY_TOKEN", "from the environment");
    expect(await find(remote({ url: "wss://a.example" }))).toMatchObject({ token: "from the environment" });
    expect(await find(remote({ url: "wss://a.example", token: "t" }))).toMatchObject({ token: "t" });
    expect(await find(remote({ url: "wss://a.example", password: "p" }))).not.toHaveProperty("token");
  });

  test.each(["ws://localhost:1", "ws://127.0.0.1:1", "ws://127.9.9.9:1", "ws://[::1]:1"])(
    "may be at %s without TLS, as a tunnel ends there",
    async (url) => {
      expect(await find(remote({ url, token: "t" }))).toEqual({ url, token: "t" });
    },
  );

  test.each([
    [{}, "url", /is missing.*wss:\/\/host:port/],
    [{ url: "a.example:1" }, "url", /must begin with wss:\/\//],
    [{ url: "nothing" }, "url", /is no address/],
    [{ url: "https://a.example" }, "url", /must begin with wss:\/\//],
    [{ url: "wss://me:secret@a.example" }, "url", /must not hold a name/],
    [{ url: "ws://a.example:1" }, "url", /for everybody to read; use wss:\/\//],
    [{ url: "ws://localhost.example:1" }, "url", /for everybody to read/],
    [{ url: "ws://127.0.0.1.example:1" }, "url", /for everybody to read/],
    [{ url: "ws://0.0.0.0:1" }, "url", /for everybody to read/],
    [{ url: "wss://a.example", tlsFingerprint: "AB:CD" }, "tlsFingerprint", /64 hex digits/],
    [{ url: "ws://127.0.0.1", tlsFingerprint: digest }, "tlsFingerprint", /ws:\/\/ has none/],
  ])("%j is refused", async (fields, key, message) => {
    await expect(find(remote({ token: "t", ...fields }))).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      details: { key: `gateway.remote.${key}` },
      message: expect.stringMatching(message) as string,
    });
  });

  test.each([printed, digest, `sha256:${digest}`, `SHA256=${printed}`, `sha-256:${printed} `])(
    "a fingerprint may be written as %s",
    async (tlsFingerprint) => {
      expect(await find(remote({ url: "wss://a.example", tlsFingerprint }))).toMatchObject({
        fingerprint: digest,
      });
    },
  );
});

describe("a connection over TLS", () => {
  let dir: string;
  let tls: Tls;
  let fingerprint: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), "rclaw-terminal-"));
    tls = await openTls({
      tls: { enabled: true, autoGenerate: true },
      hosts: [],
      log: silent,
      paths: { stateDir: dir, configFile: path.join(dir, "config.json") },
    });
    fingerprint = tls.fingerprint.replaceAll(":", "").toLowerCase();
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const start = () => startGateway({ createServer: tls.createServer });

  test("is made to whoever shows the pinned certificate, by name or by address", async () => {
    await using gateway = await start();
    for (const host of ["127.0.0.1", "localhost"]) {
      const url = `wss://${host}:${gateway.port}`;
      const client = await connectClient({ url, token, fingerprint, version: "1.0.0" });
      expect(await client.call("health", {})).toHaveProperty("ok");
      await client.close();
    }
  });

  test("tells another certificate nothing", async () => {
    await using gateway = await start();
    const url = `wss://127.0.0.1:${gateway.port}`;
    await expect(connectClient({ url, token, fingerprint: digest, version: "1.0.0" })).rejects.toMatchObject({
      code: "UNAUTHORIZED",
      message: expect.stringMatching(/another certificate than the pinned one.*nothing was sent/) as string,
      details: { wanted: digest, shown: fingerprint },
    });
    expect(gateway.presence.list().filter(({ mode }) => mode === "cli")).toEqual([]);
  });

  test("without a pin trusts known authorities only, and says what can be done", async () => {
    await using gateway = await start();
    const url = `wss://127.0.0.1:${gateway.port}`;
    await expect(connectClient({ url, token, version: "1.0.0" })).rejects.toMatchObject({
      code: "GATEWAY_UNREACHABLE",
      message: expect.stringMatching(/self-signed.*gateway\.remote\.tlsFingerprint/) as string,
    });
  });

  test("does not work in the clear, and says so", async () => {
    await using gateway = await start();
    const url = `ws://127.0.0.1:${gateway.port}`;
    await expect(connectClient({ url, token, pid: 1, version: "1.0.0" })).rejects.toThrow(
      /no gateway answers at ws:.*To start one: rclaw gateway/,
    );
  });

  test("ends with the gateway like any other", async () => {
    await using gateway = await start();
    const url = `wss://127.0.0.1:${gateway.port}`;
    const client = await connectClient({ url, token, fingerprint, version: "1.0.0" });
    await gateway.gateway.close({ event: { reason: "gateway stopping", restartExpectedMs: null } });
    await expect(client.call("health", {})).rejects.toThrow(/the gateway closed the connection/);
    await client.close();
  });
});
