import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Caller, RclawError } from "@rclaw/plugin-sdk";
import type { Admission, DeviceAtDoor, Devices } from "@rclaw/plugin-sdk/services/devices";
import { openDevices } from "../../../plugins/services/devices/devices.ts";

export const admin: Caller = {
  kind: "command",
  principal: "command",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
};

/** A client that came with a device of its own. */
export const byDevice = (deviceId: string, scopes: Caller["scopes"]): Caller => ({
  ...admin,
  kind: "client",
  principal: `client:${deviceId}`,
  connId: "c1",
  scopes,
  deviceId,
});

export const phone: DeviceAtDoor = {
  deviceId: "phone",
  publicKey: "key-of-phone",
  role: "operator",
  scopes: ["operator.read"],
  clientId: "openclaw-ios",
  clientMode: "ui",
  displayName: "Phone",
  platform: "iOS 26",
  deviceFamily: "iPhone",
  ip: "192.0.2.7",
  isSilent: false,
};

export interface Desk extends AsyncDisposable {
  readonly folder: string;
  readonly events: readonly { readonly event: string; readonly payload: Record<string, unknown> }[];
  readonly closed: readonly { readonly deviceId: string; readonly role: string | undefined }[];
  readonly secrets: readonly string[];
  /** Whose connections are open now. */
  readonly connected: Set<string>;
  devices: Devices;
  /** Minutes and hours go by. */
  pass(ms: number): void;
  /** As after a restart. */
  reopen(): Promise<void>;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into payloads of every shape
  call(method: string, params?: object, caller?: Caller): Promise<any>;
}

/** The devices of a folder of their own, with everything they tell. */
export async function openDesk(): Promise<Desk> {
  const folder = await mkdtemp(path.join(tmpdir(), "rclaw-devices-"));
  const events: { event: string; payload: Record<string, unknown> }[] = [];
  const closed: { deviceId: string; role: string | undefined }[] = [];
  const secrets: string[] = [];
  const connected = new Set<string>();
  let time = Date.parse("2026-11-22T10:00:00Z");
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
  };
  const open = (): Devices =>
    openDevices({
      stateDir: folder,
      log,
      redactor: { add: (secret) => void secrets.push(secret) },
      now: () => time,
      broadcast: (event, payload) =>
        void events.push({ event, payload: structuredClone(payload) as Record<string, unknown> }),
      closeDevice: (deviceId, role) => void closed.push({ deviceId, role }),
      isConnected: (deviceId) => connected.has(deviceId),
    });
  let methods: ReturnType<Devices["methods"]> | undefined;
  const desk: Desk = {
    folder,
    events,
    closed,
    secrets,
    connected,
    devices: open(),
    pass: (ms) => void (time += ms),
    async reopen() {
      await desk.devices.close();
      desk.devices = open();
      methods = undefined;
    },
    async call(name, params = {}, caller = admin) {
      methods ??= desk.devices.methods();
      const method = methods.find((item) => item.name === name);
      if (!method) throw new RclawError("NOT_FOUND", name);
      return method.handle({ params, caller, signal: AbortSignal.timeout(10_000), accept: () => undefined });
    },
    async [Symbol.asyncDispose]() {
      await desk.devices.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return desk;
}

export function refused(admission: Admission): Extract<Admission, { ok: false }> {
  if (admission.ok) throw new Error("the device was let in");
  return admission;
}

export function granted(admission: Admission): Extract<Admission, { ok: true }>["grant"] {
  if (!admission.ok) throw new Error(`the device has to wait: ${admission.reason}`);
  return admission.grant;
}
