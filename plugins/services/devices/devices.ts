import { createHash, timingSafeEqual } from "node:crypto";
import type {
  Admission,
  DeviceAtDoor,
  DeviceGrant,
  Devices,
  DevicesOptions,
} from "@rclaw/plugin-sdk/services/devices";
import { coversScopes } from "@rclaw/plugin-sdk/services/devices";
import { type DeviceTables, openTables, type Paired, type Pending } from "./files.ts";
import { deviceMethods } from "./methods.ts";
import { maxPending, obstacle, paired, pendingMs, requestFor, scopesOf, widened } from "./pairing.ts";

/** What the methods need of the devices. */
export interface Book {
  readonly options: DevicesOptions;
  tables(): Promise<DeviceTables>;
  /** Requests that still count, newest first. */
  waiting(): Promise<readonly Pending[]>;
  approve(request: Pending): Promise<Paired>;
  reject(request: Pending): Promise<void>;
}

/** How long "last seen" may be wrong after a crash. */
const seenMs = 30_000;

export function openDevices(options: DevicesOptions): Devices {
  const { stateDir, redactor, broadcast, now } = options;
  let opening: Promise<DeviceTables> | undefined;
  let seen: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

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
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return result;
  }

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
    keepSecret(device);
    const before = open.paired.get(request.deviceId);
    open.paired.set(device.deviceId, device);
    await open.save("paired").catch((error: unknown) => {
      if (before) open.paired.set(device.deviceId, before);
      else open.paired.delete(device.deviceId);
      throw error;
    });
    if (open.pending.delete(request.requestId)) await open.save("pending");
    resolved(request, "approved");
    return device;
  }

  async function reject(request: Pending): Promise<void> {
    const { pending, save } = await tables();
    pending.delete(request.requestId);
    await save("pending");
    resolved(request, "rejected");
  }

  function resolved({ requestId, deviceId }: Pending, decision: "approved" | "rejected"): void {
    broadcast("device.pair.resolved", { requestId, deviceId, decision, ts: now() });
  }

  async function grant(device: Paired, { role, scopes }: DeviceAtDoor): Promise<DeviceGrant> {
    const { paired: all, save } = await tables();
    const before = device.tokens?.[role];
    const token = widened(before, role, scopes, now());
    if (token !== before) {
      const next = { ...device, tokens: { ...device.tokens, [role]: token } };
      all.set(device.deviceId, next);
      keepSecret(next);
      await save("paired");
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
    await save("paired").catch((error: unknown) =>
      options.log.warn({ err: error }, "when devices were last seen could not be stored"),
    );
  }

  async function admit(device: DeviceAtDoor): Promise<Admission> {
    const known = (await tables()).paired.get(device.deviceId);
    const reason = obstacle(device, known);
    if (reason === undefined && known) return { ok: true, grant: await grant(known, device) };
    const mayPass = reason === "not-paired" || reason === "scope-upgrade";
    if (!device.isSilent || !mayPass) {
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
    async isOwnToken({ deviceId, role, scopes }, given) {
      const { paired: all } = await tables();
      const device = all.get(deviceId);
      const token = device?.tokens?.[role];
      // Compared in any case, so that time does not tell whether there is one.
      const isSame = isSameSecret(given, token?.token ?? "");
      if (!isSame || !device || !token || token.revokedAtMs !== undefined) return false;
      if (!coversScopes(scopesOf(token.scopes), scopes)) return false;
      all.set(deviceId, {
        ...device,
        tokens: { ...device.tokens, [role]: { ...token, lastUsedAtMs: now() } },
      });
      saveSoon();
      return true;
    },
    admit: (device) => inTurn(() => admit(device)),
    methods: () => deviceMethods({ options, tables, waiting, approve, reject }, inTurn),
    close: saveSeen,
  };
}

/** Digests have one length, so neither length nor a common start can be timed. */
function isSameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
