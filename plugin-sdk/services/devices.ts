import type { Scope } from "../gateway.ts";
import type { Logger } from "../plugin.ts";
import type { KernelMethod } from "./method.ts";

export type DeviceRole = "operator" | "node";

/** A device at the door: it has shown that it holds its key, and says the rest of itself. */
export interface DeviceAtDoor {
  readonly deviceId: string;
  readonly publicKey: string;
  readonly role: DeviceRole;
  /** What it asks for; a node asks for none. */
  readonly scopes: readonly Scope[];
  readonly clientId: string;
  readonly clientMode: string;
  readonly displayName?: string | undefined;
  readonly platform: string;
  readonly deviceFamily?: string | undefined;
  /** Only of devices on other machines. */
  readonly ip?: string | undefined;
  /** On this machine, and no web page of somebody else's: nobody needs to be asked about it. */
  readonly isSilent: boolean;
  /** The token of its own that it came in with, and nothing else. It may have ended since it was looked at. */
  readonly token?: string | undefined;
}

/** The token that a device may come back with, in place of the gateway's own. */
export interface DeviceGrant {
  readonly deviceToken: string;
  readonly role: DeviceRole;
  readonly scopes: readonly Scope[];
  readonly issuedAtMs: number;
}

export type Admission =
  | { readonly ok: true; readonly grant: DeviceGrant }
  | { readonly ok: false; readonly requestId: string; readonly reason: string };

export interface DevicesOptions {
  readonly stateDir: string;
  readonly log: Logger;
  /** Told every token before anybody can see it. */
  readonly redactor: { add(secret: string): void };
  now(): number;
  broadcast(event: string, payload: unknown): void;
  /** Ends the connections of a device whose right to them ended, after the answer that says so. */
  closeDevice(deviceId: string, role: DeviceRole | undefined, reason: string): void;
  isConnected(deviceId: string): boolean;
}

/** The devices of one state folder. What it answers is durable. */
export interface Devices {
  /** Is this token the device's own, for this role and at least these scopes? */
  isOwnToken(device: Pick<DeviceAtDoor, "deviceId" | "role" | "scopes">, token: string): Promise<boolean>;
  /** Lets a device in that is paired for what it asks, or leaves a request for the owner. UNAUTHORIZED when its token ended. */
  admit(device: DeviceAtDoor): Promise<Admission>;
  /** `device.pair.*` and `device.token.*`. */
  methods(): KernelMethod[];
  /** Writes down when devices were last seen. */
  close(): Promise<void>;
}

/** Service "devices": which devices are the owner's, and what each one may. */
export interface DevicesService {
  openDevices(options: DevicesOptions): Devices;
}

export const deviceMethods = {
  "device.pair.list": "operator.pairing",
  "device.pair.approve": "operator.pairing",
  "device.pair.reject": "operator.pairing",
  "device.pair.remove": "operator.pairing",
  "device.pair.rename": "operator.pairing",
  "device.token.rotate": "operator.pairing",
  "device.token.revoke": "operator.pairing",
} as const satisfies Readonly<Record<string, Scope>>;

/** `operator.admin` covers every scope and `operator.write` covers `operator.read`. */
export function coversScope(granted: readonly Scope[], needed: Scope): boolean {
  if (granted.includes("operator.admin") || granted.includes(needed)) return true;
  return needed === "operator.read" && granted.includes("operator.write");
}

export function coversScopes(granted: readonly Scope[], needed: readonly Scope[]): boolean {
  return needed.every((scope) => coversScope(granted, scope));
}
