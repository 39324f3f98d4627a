import { createPublicKey } from "node:crypto";
import type { DeviceAtDoor } from "@rclaw/plugin-sdk/services/devices";
import { expect, test } from "vitest";
import { createDevice } from "../../support/ws-client.ts";
import { admin, byDevice, granted, openDesk, phone, refused } from "./setup.ts";

test("a stranger waits for the owner, who is told once and decides", async () => {
  await using desk = await openDesk();
  const first = refused(await desk.devices.admit(phone));
  expect(first.reason).toBe("not-paired");
  const again = refused(await desk.devices.admit(phone));
  expect(again.requestId).toBe(first.requestId);

  expect(desk.events.map(({ event }) => event)).toEqual(["device.pair.requested"]);
  expect(desk.events[0]?.payload).toEqual({
    requestId: first.requestId,
    deviceId: "phone",
    publicKey: "key-of-phone",
    displayName: "Phone",
    platform: "iOS 26",
    deviceFamily: "iPhone",
    clientId: "openclaw-ios",
    clientMode: "ui",
    remoteIp: "192.0.2.7",
    role: "operator",
    roles: ["operator"],
    scopes: ["operator.read"],
    silent: false,
    isRepair: false,
    ts: expect.any(Number),
  });

  const { requestId } = first;
  const approved = await desk.call("device.pair.approve", { requestId });
  expect(approved).toMatchObject({
    requestId,
    device: { deviceId: "phone", tokens: [{ role: "operator" }] },
  });
  expect(desk.events[1]).toEqual({
    event: "device.pair.resolved",
    payload: { requestId, deviceId: "phone", decision: "approved", ts: expect.any(Number) },
  });
  expect(granted(await desk.devices.admit(phone))).toMatchObject({ scopes: ["operator.read"] });
  await expect(desk.call("device.pair.approve", { requestId })).rejects.toMatchObject({
    code: "INVALID_REQUEST",
    message: "unknown requestId",
  });
});

test("who is turned away may ask again, with another request", async () => {
  await using desk = await openDesk();
  const { requestId } = refused(await desk.devices.admit(phone));
  expect(await desk.call("device.pair.reject", { requestId })).toEqual({ requestId, deviceId: "phone" });
  expect(desk.events.at(-1)?.payload).toMatchObject({ decision: "rejected" });
  expect(refused(await desk.devices.admit(phone)).requestId).not.toBe(requestId);
});

test("a request counts for five minutes", async () => {
  await using desk = await openDesk();
  const { requestId } = refused(await desk.devices.admit(phone));
  desk.pass(299_000);
  expect((await desk.call("device.pair.list")).pending).toHaveLength(1);
  desk.pass(2_000);
  expect((await desk.call("device.pair.list")).pending).toEqual([]);
  await expect(desk.call("device.pair.approve", { requestId })).rejects.toMatchObject({
    message: "unknown requestId",
  });
});

test("a program on this machine pairs silently, and may get more scopes silently", async () => {
  await using desk = await openDesk();
  const local: DeviceAtDoor = { ...phone, ip: undefined, isSilent: true };
  granted(await desk.devices.admit(local));
  expect(granted(await desk.devices.admit({ ...local, scopes: ["operator.admin"] })).scopes).toEqual([
    "operator.admin",
    "operator.read",
  ]);
  expect(desk.events.map(({ event }) => event)).toEqual(["device.pair.resolved", "device.pair.resolved"]);
  expect((await desk.call("device.pair.list")).pending).toEqual([]);
});

const upgrades: readonly [string, Partial<DeviceAtDoor>, string][] = [
  ["SEC-030 another platform", { platform: "linux" }, "metadata-upgrade"],
  ["SEC-030 another family", { deviceFamily: "Mac" }, "metadata-upgrade"],
  ["SEC-030 no family any more", { deviceFamily: undefined }, "metadata-upgrade"],
  ["SEC-028 another role", { role: "node", scopes: [] }, "role-upgrade"],
];

test.each(upgrades)("%s asks, even on this machine", async (_what, change, reason) => {
  await using desk = await openDesk();
  const local: DeviceAtDoor = { ...phone, ip: undefined, isSilent: true };
  granted(await desk.devices.admit(local));
  const answer = refused(await desk.devices.admit({ ...local, ...change }));
  expect(answer.reason).toBe(reason);
  expect((await desk.call("device.pair.list")).pending).toMatchObject([{ isRepair: true, silent: false }]);
  // As it was it still comes in.
  granted(await desk.devices.admit(local));

  await desk.call("device.pair.approve", { requestId: answer.requestId });
  granted(await desk.devices.admit({ ...local, ...change }));
});

test("SEC-030 a node that named no family when it was paired cannot name one later by itself", async () => {
  await using desk = await openDesk();
  const node: DeviceAtDoor = { ...phone, role: "node", scopes: [], deviceFamily: undefined, isSilent: true };
  granted(await desk.devices.admit(node));
  expect(refused(await desk.devices.admit({ ...node, deviceFamily: "iPhone" })).reason).toBe(
    "metadata-upgrade",
  );
});

test("writing a platform otherwise is no change", async () => {
  await using desk = await openDesk();
  const local: DeviceAtDoor = { ...phone, isSilent: true };
  granted(await desk.devices.admit(local));
  granted(await desk.devices.admit({ ...local, platform: " ios 26 ", deviceFamily: "IPHONE" }));
});

test("SEC-027 more scopes ask when the device is elsewhere; what is covered does not", async () => {
  await using desk = await openDesk();
  const writer: DeviceAtDoor = { ...phone, scopes: ["operator.write"] };
  const { requestId } = refused(await desk.devices.admit(writer));
  await desk.call("device.pair.approve", { requestId });
  granted(await desk.devices.admit(phone));
  expect(refused(await desk.devices.admit({ ...phone, scopes: ["operator.admin"] })).reason).toBe(
    "scope-upgrade",
  );
});

test("a request that asks for more gets another id, so that nobody agrees to what they have not seen", async () => {
  await using desk = await openDesk();
  const first = refused(await desk.devices.admit(phone));
  const wider = refused(await desk.devices.admit({ ...phone, scopes: ["operator.admin"] }));
  expect(wider.requestId).not.toBe(first.requestId);
  await expect(desk.call("device.pair.approve", { requestId: first.requestId })).rejects.toMatchObject({
    message: "unknown requestId",
  });
  const { pending } = await desk.call("device.pair.list");
  expect(pending).toMatchObject([
    { requestId: wider.requestId, scopes: ["operator.read", "operator.admin"] },
  ]);
  // Less than that is within what was asked for.
  expect(refused(await desk.devices.admit(phone)).requestId).toBe(wider.requestId);
  const node = refused(await desk.devices.admit({ ...phone, role: "node", scopes: [] }));
  expect(node.requestId).not.toBe(wider.requestId);
  expect((await desk.call("device.pair.list")).pending).toMatchObject([{ roles: ["operator", "node"] }]);
});

test("SEC-029 a device agrees to no more than it has itself, and a plugin to nothing of the kind", async () => {
  await using desk = await openDesk();
  const { requestId } = refused(await desk.devices.admit({ ...phone, scopes: ["operator.admin"] }));
  const approve = (caller: Parameters<typeof desk.call>[2]) =>
    desk.call("device.pair.approve", { requestId }, caller);
  await expect(approve(byDevice("other", ["operator.pairing"]))).rejects.toMatchObject({
    code: "INVALID_REQUEST",
    message: "missing scope: operator.admin",
  });
  const plugin = { ...byDevice("", ["operator.pairing"]), kind: "plugin" as const };
  const { deviceId: _none, ...stranger } = plugin;
  await expect(approve(stranger)).rejects.toMatchObject({ message: "missing scope: operator.admin" });
  await approve(byDevice("other", ["operator.admin"]));
});

test("a key is kept as its 32 bytes, whatever its device writes around it", async () => {
  await using desk = await openDesk();
  const { key, publicKey } = createDevice();
  const pem = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
  await desk.devices.admit({ ...phone, publicKey: `${pem}\n${"x".repeat(40_000)}` });
  expect((await desk.call("device.pair.list")).pending).toMatchObject([{ publicKey }]);
});

test("who fills the list pushes out the oldest requests, and the list stays short", async () => {
  await using desk = await openDesk();
  const { requestId } = refused(await desk.devices.admit(phone));
  for (let i = 0; i < 300; i++) {
    desk.pass(1);
    await desk.devices.admit({ ...phone, deviceId: `d${i}`, displayName: "x".repeat(10_000) });
  }
  const { pending } = await desk.call("device.pair.list");
  expect(pending).toHaveLength(256);
  expect(pending.map((item: { requestId: string }) => item.requestId)).not.toContain(requestId);
  expect(pending[0].displayName).toHaveLength(256);
});

test("a client of protocol 4 sees which devices are connected now", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit({ ...phone, isSilent: true }));
  granted(await desk.devices.admit({ ...phone, deviceId: "tablet", isSilent: true }));
  desk.connected.add("phone");
  const { paired } = await desk.call("device.pair.list", {}, { ...admin, protocol: 4 });
  expect(
    Object.fromEntries(paired.map((row: Record<string, string>) => [row["deviceId"], row["connected"]])),
  ).toEqual({
    phone: true,
    tablet: false,
  });
  const older = await desk.call("device.pair.list", {}, { ...admin, protocol: 3 });
  expect(older.paired[0]).not.toHaveProperty("connected");
});

test("what a device is called follows it, and when it was seen last", async () => {
  await using desk = await openDesk();
  const local: DeviceAtDoor = { ...phone, isSilent: true };
  granted(await desk.devices.admit(local));
  desk.pass(60_000);
  const named = { ...local, displayName: "New name", ip: "192.0.2.8" };
  const { deviceToken } = granted(await desk.devices.admit(named));
  // Handed out is not used, but the device was here.
  const [seen] = (await desk.call("device.pair.list")).paired;
  expect(seen.tokens[0]).not.toHaveProperty("lastUsedAtMs");
  expect(seen.lastSeenAtMs - seen.createdAtMs).toBe(60_000);
  granted(await desk.devices.admit({ ...named, token: deviceToken }));
  const [device] = (await desk.call("device.pair.list")).paired;
  expect(device).toMatchObject({ displayName: "New name", remoteIp: "192.0.2.8" });
  expect(device.tokens[0].lastUsedAtMs - device.tokens[0].createdAtMs).toBe(60_000);
  expect(JSON.stringify(device)).not.toContain('token":');
});
