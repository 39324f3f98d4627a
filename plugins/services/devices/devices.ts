import { RclawError } from "@rclaw/plugin-sdk";
import type {
  Admission,
  DeviceAtDoor,
  DeviceGrant,
  Devices,
  DevicesOptions,
} from "@rclaw/plugin-sdk/services/devices";
import { coversScopes } from "@rclaw/plugin-sdk/services/devices";
import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { type DeviceTables, openTables, type Paired, type Pending } from "./files.ts";
import { deviceMethods } from "./methods.ts";
import {
  bounded,
  looks,
  maxPaired,
  maxPending,
  obstacle,
  paired,
  pendingMs,
  requestFor,
  scopesOf,
  seenAt,
  widened,
} from "./pairing.ts";

/** What the methods need of the devices. */
export interface Book {
  readonly options: DevicesOptions;
  tables(): Promise<DeviceTables>;
  /** Requests that still count, newest first. */
  waiting(): Promise<readonly Pending[]>;
  approve(request: Pending): Promise<Paired>;
  /** Durable when it resolves; otherwise as if nothing had been. */
  put(device: Paired): Promise<void>;
  reject(request: Pending): Promise<void>;
}

/** How long "last seen" may be wrong after a crash. */
const seenMs = 30_000;

export function openDevices(options: DevicesOptions): Devices {
  const { stateDir, redactor, broadcast, log, now } = options;
  let opening: Promise<DeviceTables> | undefined;
  let seen: NodeJS.Timeout | undefined;

  const tables = (): Promise<DeviceTables> => {
    opening ??= openTables(stateDir).then((opened) => {
      for (const device of opened.paired.values()) keepSecret(device);
      return opened;
    });
    // A file that somebody mended counts without a restart.
    opening.catch(() => (opening = undefined));
    return opening;
  };

  /** One decision after the other: two connections of one device must not each make it a token. */
  const inTurn = createTurns();

  function keepSecret({ tokens = {} }: Paired): void {
    for (const { token } of Object.values(tokens)) redactor.add(token);
  }

  async function waiting(): Promise<readonly Pending[]> {
    const { pending } = await tables();
    const since = now() - pendingMs;
    for (const [id, { ts }] of pending) if (ts < since) pending.delete(id);
    return [...pending.values()].sort((a, b) => b.ts - a.ts);
  }

  async function ask(device: DeviceAtDoor, isRepair: boolean): Promise<Pending> {
    const { pending, save } = await tables();
    const all = await waiting();
    const before = all.find(({ deviceId }) => deviceId === device.deviceId);
    const { request, isNew } = requestFor(device, { before, isRepair, now: now() });
    if (before) pending.delete(before.requestId);
    const oldest = all.at(-1);
    if (pending.size >= maxPending && oldest) pending.delete(oldest.requestId);
    pending.set(request.requestId, request);
    await save("pending");
    if (isNew) broadcast("device.pair.requested", request);
    return request;
  }

  async function approve(request: Pending): Promise<Paired> {
    const open = await tables();
    const device = paired(request, open.paired.get(request.deviceId), now());
    if (!open.paired.has(device.deviceId)) makeRoom(open);
    await put(device);
    // A request that comes back after a crash asks for what was granted already.
    if (open.pending.delete(request.requestId)) await open.save("pending").catch(notStored);
    log.info({ device: device.deviceId, roles: device.roles, scopes: device.scopes }, "device paired");
    resolved(request, "approved");
    return device;
  }

  /** Durable when it resolves; otherwise as if nothing had been. */
  async function put(device: Paired): Promise<void> {
    const { paired: all, save } = await tables();
    const before = all.get(device.deviceId);
    keepSecret(device);
    all.set(device.deviceId, device);
    await save("paired").catch((error: unknown) => {
      if (before) all.set(device.deviceId, before);
      else all.delete(device.deviceId);
      throw error;
    });
  }

  /** Programs of this machine pair without being asked about, and each of them could do so for ever. */
  function makeRoom({ paired: all }: DeviceTables): void {
    if (all.size < maxPaired) return;
    const [oldest] = [...all.values()].sort((a, b) => seenAt(a) - seenAt(b));
    if (!oldest) return;
    all.delete(oldest.deviceId);
    log.warn({ device: oldest.deviceId }, "too many devices: the one that was away longest is forgotten");
  }

  function notStored(error: unknown): void {
    log.warn({ err: error }, "when devices were last seen, or asked, could not be stored");
  }

  async function reject(request: Pending): Promise<void> {
    const { pending, save } = await tables();
    pending.delete(request.requestId);
    await save("pending");
    log.info({ device: request.deviceId }, "device turned away");
    resolved(request, "rejected");
  }

  function resolved({ requestId, deviceId }: Pending, decision: "approved" | "rejected"): void {
    broadcast("device.pair.resolved", { requestId, deviceId, decision, ts: now() });
  }

  async function grant(device: Paired, atDoor: DeviceAtDoor): Promise<DeviceGrant> {
    const { role, scopes } = atDoor;
    const before = device.tokens?.[role];
    const token = widened(before, role, scopes, now());
    // Of a token that is only handed out nobody can say that it was used.
    const isUsed = token === before && atDoor.token !== undefined;
    const used = isUsed ? { ...token, lastUsedAtMs: now() } : token;
    const tokens = { ...device.tokens, [role]: used };
    const next = { ...device, ...looks(atDoor), lastSeenAtMs: now(), tokens };
    if (token !== before) await put(next);
    else {
      (await tables()).paired.set(device.deviceId, next);
      saveSoon();
    }
    return {
      deviceToken: token.token,
      role,
      scopes: [...scopesOf(token.scopes)].sort(),
      issuedAtMs: token.rotatedAtMs ?? token.createdAtMs,
    };
  }

  /** That a device was seen is worth no write of its own. */
  function saveSoon(): void {
    seen ??= setTimeout(() => void saveSeen(), seenMs);
    seen.unref();
  }

  async function saveSeen(): Promise<void> {
    if (seen === undefined) return;
    clearTimeout(seen);
    seen = undefined;
    const { save } = await tables();
    await save("paired").catch(notStored);
  }

  async function admit(given: DeviceAtDoor): Promise<Admission> {
    const device = bounded(given);
    const known = (await tables()).paired.get(device.deviceId);
    // Between the look at it and this turn it may have been revoked: then nothing speaks for the device.
    if (device.token !== undefined && !isOwn(known, device, device.token))
      throw new RclawError("UNAUTHORIZED", `the token of device ${device.deviceId} has just ended`);
    const reason = obstacle(device, known);
    if (reason === undefined && known) return { ok: true, grant: await grant(known, device) };
    const mayPass = reason === "not-paired" || reason === "scope-upgrade";
    if (!device.isSilent || !mayPass) {
      if (known) log.warn({ device: device.deviceId, reason }, "a paired device asks for more than it has");
      const { requestId } = await ask({ ...device, isSilent: false }, known !== undefined);
      return { ok: false, requestId, reason: reason ?? "not-paired" };
    }
    // Not written down and not told as a request: nobody is asked.
    const { request } = requestFor(device, {
      before: undefined,
      isRepair: known !== undefined,
      now: now(),
    });
    return { ok: true, grant: await grant(await approve(request), device) };
  }

  return {
    isOwnToken: async (device, given) => isOwn((await tables()).paired.get(device.deviceId), device, given),
    admit: (device) => inTurn(() => admit(device)),
    methods: () => deviceMethods({ options, tables, waiting, approve, put, reject }, inTurn),
    close: saveSeen,
  };
}

function isOwn(
  known: Paired | undefined,
  { role, scopes }: Pick<DeviceAtDoor, "role" | "scopes">,
  given: string,
): boolean {
  const token = known?.tokens?.[role];
  // Compared in any case, so that time does not tell whether there is one.
  const isSame = isSameSecret(given, token?.token ?? "");
  return (
    isSame &&
    token !== undefined &&
    token.revokedAtMs === undefined &&
    coversScopes(scopesOf(token.scopes), scopes)
  );
}
