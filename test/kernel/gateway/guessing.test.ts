import { request } from "node:http";
import { expect, test } from "vitest";
import { type Client, createDevice, openClient, connectClient, signDevice } from "../../support/ws-client.ts";
import { createAuthority } from "../../../kernel/gateway/auth.ts";
import { peerOf } from "@rclaw/plugin-sdk/services/peer";
import { openDesk } from "../../plugins/devices/setup.ts";
import { startGateway, token } from "./gateway.ts";

const rules = { mode: "token", token, trustedProxies: ["127.0.0.1"] } as const;
const from = (ip: string) => ({ "x-forwarded-for": ip });

/** Who connects from there, with a device of its own and a token. */
async function attemptOn(client: Client, guess: string): Promise<unknown> {
  const params = {
    minProtocol: 3,
    maxProtocol: 3,
    client: { id: "cli", version: "0.0.1", platform: "linux", mode: "cli" },
    scopes: ["operator.read"],
    auth: { token: guess },
  };
  const device = signDevice(createDevice(), params, { version: "v3", nonce: await client.nonce() });
  return (await client.request("connect", { ...params, device })).error?.details?.["authReason"];
}

test("SEC-010 guesses that come all at once are no more than guesses one after the other", async () => {
  await using gateway = await startGateway({ auth: rules });
  const options = { headers: from("203.0.113.5") };
  const clients = await Promise.all(Array.from({ length: 30 }, () => openClient(gateway.url, options)));
  const reasons = await Promise.all(clients.map((client, i) => attemptOn(client, `guess-${i}`)));
  expect(reasons.filter((reason) => reason === "token_mismatch")).toHaveLength(10);
  expect(reasons.filter((reason) => reason === "rate_limited")).toHaveLength(20);
});

test("a device that comes in with its own token gives nobody beside it more guesses", async () => {
  await using gateway = await startGateway({ auth: rules });
  const device = createDevice();
  const phone = { device, scopes: ["operator.read"] };
  const paired = await connectClient(gateway.url, { ...phone, token });
  const { deviceToken } = paired.answer.payload.auth;
  const headers = from("203.0.113.7");
  const guess = async (secret: string) =>
    (await connectClient(gateway.url, { token: secret, headers })).answer.error?.details?.["authReason"];
  for (let i = 0; i < 9; i++) expect(await guess(`guess-${i}`)).toBe("token_mismatch");
  const back = await connectClient(gateway.url, { ...phone, token: deviceToken, headers });
  expect(back.answer.ok).toBe(true);
  expect(await guess("guess-9")).toBe("token_mismatch");
  expect(await guess(token)).toBe("rate_limited");
});

test("a password of several words, and in any alphabet, is a bearer as well", async () => {
  const password = "correct horse bättery";
  const verdicts: boolean[] = [];
  await using gateway = await startGateway({
    auth: { mode: "password", password },
    http: (incoming, response) =>
      void gateway.gateway.bearer(incoming).then(({ ok }) => response.end(verdicts.push(ok).toString())),
  });
  for (const given of [password, "correct horse", "correct"]) {
    const authorization = `Bearer ${Buffer.from(given).toString("latin1")}`;
    await new Promise<void>((resolve, reject) => {
      const asked = request({ port: gateway.port, path: "/x", headers: { authorization } }, (response) =>
        response.resume().on("end", resolve),
      );
      asked.on("error", reject).end();
    });
  }
  expect(verdicts).toEqual([true, false, false]);
});

test("whom the proxy names is let in, also where it says nothing of where they are and there is a token", async () => {
  const trustedProxy = { userHeader: "x-user", allowUsers: ["ada"] };
  await using gateway = await startGateway({
    auth: { mode: "trusted-proxy", token, trustedProxies: ["127.0.0.1"], trustedProxy },
  });
  const answer = async (headers: Record<string, string>, secret?: string) =>
    (await connectClient(gateway.url, { headers, ...(secret !== undefined && { token: secret }) })).answer;
  expect((await answer({ "x-user": "ada" })).ok).toBe(true);
  expect((await answer({ "x-user": "ada", ...from("127.0.0.1") })).ok).toBe(true);
  expect((await answer({ "x-user": "eve" })).ok).toBe(false);
  expect((await answer({}, token)).ok).toBe(true);
  expect((await answer(from("203.0.113.9"), token)).error?.details?.["authReason"]).toBe(
    "trusted_proxy_user_missing",
  );
});

test("a token that is changed while its device is looked up lets nobody in", async () => {
  await using desk = await openDesk();
  let current = "first-token";
  await using gateway = await startGateway({
    auth: {
      mode: "token",
      get token() {
        return current;
      },
    },
    devices: async () => {
      current = "second-token";
      return desk.devices;
    },
  });
  const device = createDevice();
  const late = await connectClient(gateway.url, { device, token: "first-token" });
  expect(late.answer.error?.details?.["authReason"]).toBe("token_mismatch");
  const next = await connectClient(gateway.url, { device, token: "second-token" });
  expect(next.answer.ok).toBe(true);
});

test("without a secret only this machine is let in, also while the gateway still listens for others", async () => {
  const authority = createAuthority({ rules: () => ({ mode: "none" }), now: Date.now });
  const from = (ip: string) => authority.judge({}, peerOf(ip, { host: "localhost:1" }, []));
  expect(await from("127.0.0.1")).toEqual({ ok: true, method: "none" });
  expect(await from("::1")).toEqual({ ok: true, method: "none" });
  expect(await from("::ffff:127.0.0.1")).toEqual({ ok: true, method: "none" });
  expect(await from("192.0.2.7")).toEqual({ ok: false, reason: "token_missing_config" });
  expect(await from("2001:db8::7")).toEqual({ ok: false, reason: "token_missing_config" });
});
