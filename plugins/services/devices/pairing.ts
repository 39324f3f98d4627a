import { randomBytes, randomUUID } from "node:crypto";
import type { Scope } from "@rclaw/plugin-sdk";
import { rawPublicKey } from "@rclaw/plugin-sdk/device";
import { coversScopes, type DeviceAtDoor, type DeviceRole } from "@rclaw/plugin-sdk/services/devices";
import type { Paired, Pending, Token } from "./files.ts";

export const pendingMs = 300_000;
/** Requests that wait at once; whoever fills the list pushes out the oldest. */
export const maxPending = 256;
/** Paired devices at once. */
export const maxPaired = 10_000;
/** Characters of what a device says of itself. */
const maxText = 256;

export type Reason = "not-paired" | "metadata-upgrade" | "role-upgrade" | "scope-upgrade";

export const scopesOf = (list: readonly string[] | undefined): readonly Scope[] => (list ?? []) as Scope[];
const rolesOf = ({ role, roles }: Pick<Paired, "role" | "roles">): readonly string[] =>
  union(roles ?? [], role === undefined ? [] : [role]);

/** What stands between a device and being let in; undefined when nothing does. */
export function obstacle(device: DeviceAtDoor, paired: Paired | undefined): Reason | undefined {
  if (!paired) return "not-paired";
  // Which commands a node may be asked for goes by these, so they do not change by themselves.
  const isOther = (was: string | undefined, is: string | undefined): boolean =>
    was !== undefined && folded(was) !== folded(is ?? "");
  if (isOther(paired.platform, device.platform) || isOther(paired.deviceFamily, device.deviceFamily))
    return "metadata-upgrade";
  if (!rolesOf(paired).includes(device.role)) return "role-upgrade";
  // A node that said nothing was let in as such; what it says now would open commands that nobody agreed to.
  if (device.role === "node" && paired.deviceFamily === undefined && device.deviceFamily !== undefined)
    return "metadata-upgrade";
  return coversScopes(approved(paired), device.scopes) ? undefined : "scope-upgrade";
}

/** Whatever came over the wire is kept for a long time, so it is kept short. */
export function bounded(device: DeviceAtDoor): DeviceAtDoor {
  const { displayName, deviceFamily, clientId, platform, publicKey } = device;
  const cut = (text: string): string => text.slice(0, maxText);
  return {
    ...device,
    publicKey: rawPublicKey(publicKey) ?? cut(publicKey),
    clientId: cut(clientId),
    platform: cut(platform),
    ...(displayName !== undefined && { displayName: cut(displayName) }),
    ...(deviceFamily !== undefined && { deviceFamily: cut(deviceFamily) }),
  };
}

/** What may change from one connection to the next, because nothing is decided by it. */
export function looks({ displayName, clientId, clientMode, ip }: DeviceAtDoor): Partial<Paired> {
  return {
    ...(displayName !== undefined && { displayName }),
    clientId,
    clientMode,
    ...(ip !== undefined && { remoteIp: ip }),
  };
}

/** When it was last here. */
export function seenAt({ tokens = {}, approvedAtMs, lastSeenAtMs = 0 }: Paired): number {
  const used = Object.values(tokens).map(({ lastUsedAtMs = 0 }) => lastUsedAtMs);
  return Math.max(approvedAtMs, lastSeenAtMs, ...used);
}

export function approved(paired: Paired): readonly Scope[] {
  return scopesOf(paired.approvedScopes ?? paired.scopes);
}

/**
 * The request of a device. One that asks for nothing more keeps its place; one that does gets a new id,
 * so that nobody agrees to what they have not seen.
 */
export function requestFor(
  device: DeviceAtDoor,
  { before, isRepair, now }: { before: Pending | undefined; isRepair: boolean; now: number },
): { readonly request: Pending; readonly isNew: boolean } {
  const roles = union(before ? rolesOf(before) : [], [device.role]);
  const scopes = union(before?.scopes ?? [], device.scopes);
  const isSame =
    before !== undefined &&
    roles.length === rolesOf(before).length &&
    coversScopes(scopesOf(before.scopes), device.scopes) &&
    folded(before.platform ?? "") === folded(device.platform) &&
    folded(before.deviceFamily ?? "") === folded(device.deviceFamily ?? "");
  const request = {
    requestId: isSame ? before.requestId : randomUUID(),
    ...about(device),
    role: device.role,
    roles: [...roles],
    scopes: [...scopes],
    silent: device.isSilent,
    isRepair,
    ts: now,
  };
  return { request, isNew: !isSame };
}

/** What the device is from now on, as was agreed to. */
export function paired(request: Pending, before: Paired | undefined, now: number): Paired {
  const { requestId: _id, silent: _silent, isRepair: _repair, ts: _ts, ...device } = request;
  const roles = union(before ? rolesOf(before) : [], rolesOf(request));
  const scopes = union(before ? approved(before) : [], request.scopes ?? []);
  const tokens = { ...before?.tokens };
  for (const role of rolesOf(request)) {
    const wanted = role === "operator" ? scopesOf(request.scopes) : [];
    tokens[role] = widened(tokens[role], role as DeviceRole, wanted, now);
  }
  // A family that it no longer names would make it ask again, for ever.
  const { deviceFamily: _family, ...kept } = before ?? {};
  return {
    ...kept,
    ...device,
    roles: [...roles],
    scopes: [...scopes],
    approvedScopes: [...scopes],
    tokens,
    createdAtMs: before?.createdAtMs ?? now,
    approvedAtMs: now,
  };
}

/** A token for these scopes: the one there is, or another. */
export function widened(
  token: Token | undefined,
  role: DeviceRole,
  scopes: readonly Scope[],
  now: number,
): Token {
  if (token && token.revokedAtMs === undefined && coversScopes(scopesOf(token.scopes), scopes)) return token;
  const all = token && token.revokedAtMs === undefined ? union(token.scopes, scopes) : scopes;
  return minted(token, role, all, now);
}

export function minted(
  before: Token | undefined,
  role: DeviceRole,
  scopes: readonly string[],
  now: number,
): Token {
  return {
    token: randomBytes(32).toString("base64url"),
    role,
    scopes: [...new Set(scopes)].sort(),
    createdAtMs: before?.createdAtMs ?? now,
    ...(before && { rotatedAtMs: now }),
  };
}

/** Without the tokens themselves. Clients of protocol 3 know no more of a device than that release had. */
export function publicView(paired: Paired, protocol?: number): object {
  const { tokens = {}, scopes, approvedScopes: _approved, lastSeenAtMs, operatorLabel, ...device } = paired;
  return {
    ...device,
    ...(protocol !== 3 && lastSeenAtMs !== undefined && { lastSeenAtMs }),
    ...(protocol !== 3 && operatorLabel !== undefined && { operatorLabel }),
    ...(scopes?.length && { scopes }),
    tokens: Object.values(tokens)
      .map(({ token: _token, ...rest }) => rest)
      .sort((a, b) => (a.role < b.role ? -1 : 1)),
  };
}

function about(device: DeviceAtDoor): Omit<Paired, "createdAtMs" | "approvedAtMs"> {
  const { deviceId, publicKey, platform, deviceFamily } = device;
  return {
    deviceId,
    publicKey,
    platform,
    ...(deviceFamily !== undefined && { deviceFamily }),
    ...looks(device),
  };
}

function union<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  return [...new Set([...a, ...b])];
}

function folded(text: string): string {
  return text.trim().replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
