import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { DeviceAtDoor } from "@rclaw/plugin-sdk/services/devices";
import { expect, test } from "vitest";
import { granted, openDesk, phone, refused } from "./setup.ts";

const local: DeviceAtDoor = { ...phone, isSilent: true };

test("devices, their tokens and open requests are there after a restart", async () => {
  await using desk = await openDesk();
  const { deviceToken } = granted(await desk.devices.admit(local));
  const { requestId } = refused(await desk.devices.admit({ ...phone, deviceId: "waits" }));
  await desk.reopen();
  expect(await desk.devices.isOwnToken(local, deviceToken)).toBe(true);
  expect(granted(await desk.devices.admit(local)).deviceToken).toBe(deviceToken);
  expect(refused(await desk.devices.admit({ ...phone, deviceId: "waits" })).requestId).toBe(requestId);
  await desk.call("device.pair.approve", { requestId });
  await desk.reopen();
  granted(await desk.devices.admit({ ...phone, deviceId: "waits" }));
});

test("only the owner can read the files", async () => {
  await using desk = await openDesk();
  granted(await desk.devices.admit(local));
  refused(await desk.devices.admit({ ...phone, deviceId: "waits" }));
  for (const name of ["paired", "pending"]) {
    expect((await stat(path.join(desk.folder, `devices/${name}.json`))).mode & 0o777).toBe(0o600);
  }
});

test("a file that OpenClaw wrote is read as it is, and what else is in it is kept", async () => {
  await using desk = await openDesk();
  const file = path.join(desk.folder, "devices/paired.json");
  await mkdir(path.dirname(file), { recursive: true });
  const device = {
    deviceId: "phone",
    publicKey: "key-of-phone",
    platform: "iOS 26",
    deviceFamily: "iPhone",
    role: "operator",
    roles: ["operator"],
    scopes: ["operator.admin"],
    approvedScopes: ["operator.admin"],
    tokens: {
      operator: {
        token: "their-token-0123456789",
        role: "operator",
        scopes: ["operator.admin"],
        createdAtMs: 1,
      },
    },
    createdAtMs: 1,
    approvedAtMs: 1,
    somethingNew: true,
  };
  await writeFile(file, JSON.stringify({ phone: device }));
  const admin: DeviceAtDoor = { ...phone, scopes: ["operator.admin"] };
  expect(await desk.devices.isOwnToken(admin, "their-token-0123456789")).toBe(true);
  expect(granted(await desk.devices.admit(admin)).deviceToken).toBe("their-token-0123456789");
  await desk.devices.close();
  expect(JSON.parse(await readFile(file, "utf8")).phone).toMatchObject({ somethingNew: true });
});

test.each([
  ["no JSON", "{ their-token"],
  ["another shape", '{"phone":{"deviceId":7,"token":"their-token"}}'],
])("a damaged file (%s) lets nobody in, is left alone, and counts when it is mended", async (_what, text) => {
  await using desk = await openDesk();
  const file = path.join(desk.folder, "devices/paired.json");
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, text);
  const error = await desk.devices.admit(local).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "STORE_DEGRADED", message: expect.stringContaining(file) });
  expect((error as Error).message).not.toContain("their-token");
  expect(await readFile(file, "utf8")).toBe(text);
  await writeFile(file, "{}");
  granted(await desk.devices.admit(local));
});

test("what could not be stored was not granted", async () => {
  await using desk = await openDesk();
  const { deviceToken } = granted(await desk.devices.admit(local));
  // A folder in its place: no file can be put there.
  const file = path.join(desk.folder, "devices/paired.json");
  const text = await readFile(file);
  await rm(file);
  await mkdir(path.join(file, "in-the-way"), { recursive: true });
  await expect(desk.devices.admit({ ...local, deviceId: "other" })).rejects.toMatchObject({
    code: "STORE_DEGRADED",
  });
  await expect(desk.devices.admit({ ...local, scopes: ["operator.admin"] })).rejects.toThrow();
  await expect(
    desk.call("device.token.rotate", { deviceId: "phone", role: "operator" }),
  ).rejects.toMatchObject({ code: "STORE_DEGRADED" });
  await expect(desk.call("device.pair.remove", { deviceId: "phone" })).rejects.toThrow();
  expect(desk.closed).toEqual([]);

  await rm(file, { recursive: true });
  await writeFile(file, text);
  const { paired } = await desk.call("device.pair.list");
  expect(paired).toMatchObject([{ deviceId: "phone", scopes: ["operator.read"] }]);
  expect(granted(await desk.devices.admit(local)).deviceToken).toBe(deviceToken);
});
