import type { DeviceAtDoor } from "@rclaw/plugin-sdk/services/devices";
import { expect, test } from "vitest";
import { admin, byDevice, granted, openDesk, phone } from "./setup.ts";

const local: DeviceAtDoor = { ...phone, scopes: ["operator.read", "operator.write"], isSilent: true };

test("a token is used again while it covers what is asked for, and replaced when it does not", async () => {
  await using desk = await openDesk();
  const first = granted(await desk.devices.admit(local));
  expect(first).toMatchObject({ role: "operator", scopes: ["operator.read", "operator.write"] });
  expect(Buffer.from(first.deviceToken, "base64url")).toHaveLength(32);

  const narrower = granted(await desk.devices.admit({ ...local, scopes: ["operator.read"] }));
  expect(narrower).toEqual(first);
  const wider = granted(await desk.devices.admit({ ...local, scopes: ["operator.approvals"] }));
  expect(wider.deviceToken).not.toBe(first.deviceToken);
  expect(wider.scopes).toEqual(["operator.approvals", "operator.read", "operator.write"]);
  expect(await desk.devices.isOwnToken(local, first.deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken(local, wider.deviceToken)).toBe(true);
});

test("a token is worth something to its own device, in its own role, within its scopes", async () => {
  await using desk = await openDesk();
  const { deviceToken } = granted(await desk.devices.admit(local));
  granted(await desk.devices.admit({ ...local, deviceId: "other" }));
  expect(await desk.devices.isOwnToken(local, deviceToken)).toBe(true);
  expect(await desk.devices.isOwnToken({ ...local, deviceId: "other" }, deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken({ ...local, deviceId: "nobody" }, deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken({ ...local, role: "node", scopes: [] }, deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken({ ...local, scopes: ["operator.admin"] }, deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken(local, "")).toBe(false);
  expect(desk.secrets).toContain(deviceToken);
});

test("two hundred connections of one device at once make it one token", async () => {
  await using desk = await openDesk();
  const answers = await Promise.all(Array.from({ length: 200 }, () => desk.devices.admit(local)));
  expect(new Set(answers.map((answer) => granted(answer).deviceToken)).size).toBe(1);
  expect(desk.events).toHaveLength(1);
});

test("rotating ends the old token and the connections made with it", async () => {
  await using desk = await openDesk();
  const { deviceToken } = granted(await desk.devices.admit(local));
  desk.pass(1_000);
  const answer = await desk.call("device.token.rotate", { deviceId: "phone", role: "operator" });
  expect(answer).toEqual({
    deviceId: "phone",
    role: "operator",
    token: expect.any(String),
    scopes: ["operator.read", "operator.write"],
    rotatedAtMs: expect.any(Number),
  });
  expect(await desk.devices.isOwnToken(local, deviceToken)).toBe(false);
  expect(await desk.devices.isOwnToken(local, answer.token)).toBe(true);
  expect(desk.closed).toEqual([{ deviceId: "phone", role: "operator" }]);
  expect(desk.secrets).toContain(answer.token);
});

const unknown = { code: "INVALID_REQUEST", message: "unknown deviceId/role" };

test("SEC-029 a token rotates within what was agreed to, by its device or an administrator", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit(local));
  granted(await desk.devices.admit({ ...local, deviceId: "other" }));
  const rotate = (params: object, caller = admin) =>
    desk.call("device.token.rotate", { deviceId: "phone", role: "operator", ...params }, caller);

  await expect(rotate({ scopes: ["operator.admin"] })).rejects.toMatchObject(unknown);
  await expect(rotate({ role: "node" })).rejects.toMatchObject(unknown);
  await expect(rotate({ deviceId: "nobody" })).rejects.toMatchObject(unknown);
  await expect(rotate({}, byDevice("other", ["operator.pairing"]))).rejects.toMatchObject(unknown);
  await expect(
    rotate({ scopes: ["operator.write"] }, byDevice("phone", ["operator.pairing"])),
  ).rejects.toMatchObject(unknown);
  const narrower = await rotate({ scopes: ["operator.read"] });
  expect(narrower.scopes).toEqual(["operator.read"]);
  await rotate({}, byDevice("other", ["operator.admin"]));
});

test.each(["constructor", "__proto__", "toString"])("%s is no role, and damages nothing", async (role) => {
  await using desk = await openDesk();
  const before = granted(await desk.devices.admit(local));
  for (const method of ["device.token.rotate", "device.token.revoke"])
    await expect(desk.call(method, { deviceId: "phone", role })).rejects.toMatchObject(unknown);
  await desk.reopen();
  expect(granted(await desk.devices.admit(local))).toEqual(before);
});

test("a scope that is named twice is granted once", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit(local));
  const scopes = ["operator.read", "operator.read"];
  const answer = await desk.call("device.token.rotate", { deviceId: "phone", role: "operator", scopes });
  expect(answer.scopes).toEqual(["operator.read"]);
});

test("a device that rotates its token in a loop is stopped", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit(local));
  const own = byDevice("phone", ["operator.pairing", "operator.write"]);
  const rotate = () => desk.call("device.token.rotate", { deviceId: "phone", role: "operator" }, own);
  for (let i = 0; i < 30; i++) await rotate();
  await expect(rotate()).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
});

test("a revoked token is worth nothing, and one that was looked at before lets nobody in after", async () => {
  await using desk = await openDesk();
  const { deviceToken: token } = granted(await desk.devices.admit(local));
  const revoking = desk.call("device.token.revoke", { deviceId: "phone", role: "operator" });
  // It arrived while the token was good, and its turn comes when it is not.
  const late = desk.devices.admit({ ...local, token });
  const revoked = await revoking;
  expect(revoked).toEqual({ deviceId: "phone", role: "operator", revokedAtMs: expect.any(Number) });
  await expect(late).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  expect(await desk.devices.isOwnToken(local, token)).toBe(false);
  expect(desk.closed).toEqual([{ deviceId: "phone", role: "operator" }]);
  desk.pass(1_000);
  expect(await desk.call("device.token.revoke", { deviceId: "phone", role: "operator" })).toEqual(revoked);
  // Who still knows the gateway's own secret gets another.
  expect(granted(await desk.devices.admit(local)).deviceToken).not.toBe(token);
});

test("a removed device is a stranger again", async () => {
  await using desk = await openDesk();
  const { deviceToken: token } = granted(await desk.devices.admit(local));
  const removing = desk.call("device.pair.remove", { deviceId: "phone" });
  const late = desk.devices.admit({ ...local, token });
  expect(await removing).toEqual({ deviceId: "phone" });
  await expect(late).rejects.toMatchObject({ code: "UNAUTHORIZED" });
  expect((await desk.call("device.pair.list")).paired).toEqual([]);
  expect(desk.closed).toEqual([{ deviceId: "phone", role: undefined }]);
  await expect(desk.call("device.pair.remove", { deviceId: "phone" })).rejects.toMatchObject({
    code: "INVALID_REQUEST",
    message: "unknown deviceId",
  });
});

test("a device without administration removes itself and no other", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit(local));
  granted(await desk.devices.admit({ ...local, deviceId: "other" }));
  const other = byDevice("other", ["operator.pairing"]);
  await expect(desk.call("device.pair.remove", { deviceId: "phone" }, other)).rejects.toMatchObject({
    message: "unknown deviceId",
  });
  await desk.call("device.pair.remove", { deviceId: "other" }, other);
});

test("a name that a person gave a device stays, also when the device comes back with its own", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit({ ...local, deviceId: "named" }));
  const rename = { deviceId: "named", label: " Kitchen " };
  expect(await desk.call("device.pair.rename", rename)).toEqual({ deviceId: "named", label: "Kitchen" });
  granted(
    await desk.devices.admit({
      ...local,
      deviceId: "named",
      displayName: "Phone",
      scopes: ["operator.pairing"],
    }),
  );
  const { paired } = await desk.call("device.pair.list");
  expect(paired).toMatchObject([{ deviceId: "named", displayName: "Phone", operatorLabel: "Kitchen" }]);
  await expect(desk.call("device.pair.rename", { ...rename, label: "  " })).rejects.toThrow("label required");
  await expect(desk.call("device.pair.rename", { ...rename, deviceId: "nobody" })).rejects.toThrow(
    "unknown deviceId",
  );
});
