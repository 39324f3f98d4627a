import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Caller } from "@rclaw/plugin-sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { accessMethods } from "../../plugins/services/channels/access.ts";
import { createPairing, type Pairing } from "../../plugins/services/channels/pairing.ts";

const caller = { kind: "client", principal: "gateway", scopes: ["operator.pairing"] } as unknown as Caller;
let dir: string;
let pairing: Pairing;
let told: string[];
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-access-"));
  pairing = createPairing({ dir, now: () => Date.parse("2026-01-01T00:00:00Z") });
  told = [];
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function call(name: string, params: object): Promise<unknown> {
  const methods = accessMethods({
    pairing,
    notify: async (channel, accountId, peerId) => void told.push(`${channel} ${accountId} ${peerId}`),
    accounts: async () =>
      ["default", "open"].map((accountId) => ({
        channel: "telegram",
        channelLabel: "Telegram",
        account: { accountId, enabled: true, configured: true, running: true },
      })),
    config: () => ({ channels: { telegram: { accounts: { open: { dmPolicy: "open" } } } } }),
  });
  const method = methods.find((found) => found.name === name);
  expect(method?.scope).toBe("operator.pairing");
  return method?.handle({ params, caller, signal: AbortSignal.timeout(5_000) } as never);
}
const list = () => call("channels.pairing.list", {}) as Promise<{ requests: { requestId: string }[] }>;

test("who waits is shown with the account that asks, and without the code", async () => {
  const asked = await pairing.request("telegram", "default", { id: "42", name: "Ada" });
  const shown = await list();
  expect(shown).toEqual({
    accounts: [
      { channel: "telegram", channelLabel: "Telegram", accountId: "default", notifySupported: true },
    ],
    requests: [
      {
        requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
        channel: "telegram",
        channelLabel: "Telegram",
        accountId: "default",
        senderId: "42",
        senderLabel: "Sender",
        metadata: { name: "Ada" },
        createdAt: "2026-01-01T00:00:00.000Z",
        lastSeenAt: "2026-01-01T00:00:00.000Z",
        expiresAt: "2026-01-01T01:00:00.000Z",
        notifySupported: true,
      },
    ],
    commandOwnerConfigured: false,
    limits: { pendingPerAccount: 3, ttlMs: 3_600_000 },
  });
  expect(JSON.stringify(shown)).not.toContain(asked?.code);
});

test("approving lets in and tells, dismissing forgets, and neither works twice", async () => {
  await pairing.request("telegram", "default", { id: "42" });
  await pairing.request("telegram", "default", { id: "43" });
  const [first, second] = (await list()).requests;
  const place = { channel: "telegram", accountId: "default" };
  const approve = { ...place, requestId: first?.requestId, notify: true, bootstrapCommandOwner: true };
  expect(await call("channels.pairing.approve", approve)).toEqual({
    requestId: first?.requestId,
    senderId: "42",
    notification: "sent",
    commandOwnerBootstrap: "unavailable",
  });
  expect(told).toEqual(["telegram default 42"]);
  expect(await pairing.allowed("telegram", "default")).toEqual(["42"]);
  await expect(call("channels.pairing.approve", approve)).rejects.toThrow(
    "pending DM access request no longer exists",
  );

  const dismiss = { ...place, requestId: second?.requestId };
  expect(await call("channels.pairing.dismiss", dismiss)).toEqual({
    requestId: second?.requestId,
    senderId: "43",
  });
  expect((await list()).requests).toEqual([]);
  await expect(call("channels.pairing.dismiss", dismiss)).rejects.toThrow(
    "pending DM access request no longer exists",
  );
  expect(await pairing.allowed("telegram", "default")).toEqual(["42"]);
});
