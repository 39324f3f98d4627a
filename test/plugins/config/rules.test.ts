import { expect, test } from "vitest";
import { configHome, token } from "./config-home.ts";

test("another gateway that cannot be reached stays configured, so that nobody talks to the wrong one", async () => {
  const home = await configHome(
    `{ gateway: { mode: "remote", remote: { tlsFingerprint: "AB:CD" }, auth: { token: "${token}" } } }`,
  );
  const { config, issues, warnings } = await home.load();
  expect([config.gateway.mode, issues]).toEqual(["remote", []]);
  expect(warnings).toEqual([
    { path: "gateway.remote.url", message: expect.stringContaining("wss://host:port") as string },
    { path: "gateway.remote.tlsFingerprint", message: expect.stringContaining("64 hex digits") as string },
  ]);
});

test("an address of a person that matches nobody, or belongs to somebody else, is a warning", async () => {
  const home = await configHome(
    `{ gateway: { auth: { token: "${token}" } }, session: { identityLinks: {
      alice: ["telegram:1", "2", "matrix:@alice:example.org"], bob: ["telegram:1", "slack:U1"],
    } } }`,
  );
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([]);
  expect(warnings).toEqual([
    { path: "session.identityLinks.alice.1", message: expect.stringContaining("telegram:123") as string },
    { path: "session.identityLinks.bob.0", message: expect.stringContaining('"alice"') as string },
  ]);
});

test("TLS that cannot work keeps the gateway on this machine", async () => {
  const home = await configHome(
    `{ gateway: { bind: "lan", tls: { enabled: true, autoGenerate: false }, auth: { token: "${token}" } } }`,
  );
  expect((await home.load()).config.gateway).toMatchObject({ bind: "loopback", tls: { enabled: false } });
});

test("a group of tools that there is not is a warning: a deny list with a slip would deny nothing", async () => {
  const home = await configHome(
    `{ gateway: { auth: { token: "${token}" } }, tools: { deny: ["group:runtme", "Group:FS", "exec"], allow: ["group:plugins", "*"] } }`,
  );
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([]);
  expect(warnings).toEqual([
    { path: "tools.deny.0", message: "there is no group:runtme; it matches nothing" },
  ]);
});
