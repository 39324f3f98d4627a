import { type Caller, defineMethod, type Method, RclawError, type Scope } from "@rclaw/plugin-sdk";
import { coversScopes, deviceMethods as scopes, type DeviceRole } from "@rclaw/plugin-sdk/services/devices";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { createWriteLimit } from "@rclaw/plugin-sdk/services/write-limit";
import type { Book } from "./devices.ts";
import {
  deviceParams,
  noParams,
  renameParams,
  requestParams,
  revokeParams,
  rotateParams,
} from "./devices.schema.ts";
import type { Paired, Pending, Token } from "./files.ts";
import { approved, minted, publicView, scopesOf } from "./pairing.ts";

type InTurn = <T>(task: () => Promise<T>) => Promise<T>;

/** `device.pair.*` and `device.token.*` of the gateway protocol. */
export function deviceMethods(book: Book, inTurn: InTurn): KernelMethod[] {
  const { now, closeDevice, isConnected, log } = book.options;
  // The old token is kept in mind as a secret for as long as the gateway runs.
  const limit = createWriteLimit(30, ({ principal }) => principal);

  async function request(requestId: string): Promise<Pending> {
    const found = (await book.waiting()).find((item) => item.requestId === requestId);
    if (!found) throw new RclawError("INVALID_REQUEST", "unknown requestId");
    return found;
  }

  /** One wording for everything that is not there or not the caller's business: nothing can be found out by asking. */
  async function tokenOf(
    { deviceId, role }: { deviceId: string; role: string },
    caller: Caller,
  ): Promise<{ device: Paired; token: Token }> {
    const device = (await book.tables()).paired.get(deviceId);
    // A role is the caller's word: `constructor` is no token, though every object has one.
    const token = device?.tokens && Object.hasOwn(device.tokens, role) ? device.tokens[role] : undefined;
    if (!device || !token || !mayManage(caller, deviceId)) throw unknownRole();
    return { device, token };
  }

  const store = (device: Paired, token: Token): Promise<void> =>
    book.put({ ...device, tokens: { ...device.tokens, [token.role]: token } });

  const list: Method[] = [
    defineMethod({
      name: "device.pair.list",
      since: "2026.2.17",
      params: noParams,
      async handle({ caller: { protocol } }) {
        const { paired } = await book.tables();
        const inOrder = [...paired.values()].sort((a, b) => b.approvedAtMs - a.approvedAtMs);
        return {
          pending: await book.waiting(),
          paired: inOrder.map((device) => ({
            ...publicView(device, protocol),
            ...(protocol !== 3 && { connected: isConnected(device.deviceId) }),
          })),
        };
      },
    }),
    defineMethod({
      name: "device.pair.approve",
      since: "2026.2.17",
      params: requestParams,
      handle: ({ params, caller }) =>
        inTurn(async () => {
          const wanted = await request(params.requestId);
          const missing = scopesOf(wanted.scopes).find((scope) => !mayGrant(caller, [scope]));
          if (missing) throw new RclawError("INVALID_REQUEST", `missing scope: ${missing}`);
          const device = await book.approve(wanted);
          return { requestId: wanted.requestId, device: publicView(device, caller.protocol) };
        }),
    }),
    defineMethod({
      name: "device.pair.reject",
      since: "2026.2.17",
      params: requestParams,
      handle: ({ params }) =>
        inTurn(async () => {
          const { requestId, deviceId, ...rest } = await request(params.requestId);
          await book.reject({ requestId, deviceId, ...rest });
          return { requestId, deviceId };
        }),
    }),
    defineMethod({
      name: "device.pair.remove",
      since: "2026.2.26",
      params: deviceParams,
      handle: ({ params: { deviceId }, caller }) =>
        inTurn(async () => {
          const { paired, save } = await book.tables();
          const device = paired.get(deviceId);
          if (!device || !mayManage(caller, deviceId))
            throw new RclawError("INVALID_REQUEST", "unknown deviceId");
          paired.delete(deviceId);
          await save("paired").catch((error: unknown) => {
            paired.set(deviceId, device);
            throw error;
          });
          log.info({ device: deviceId }, "device removed");
          closeDevice(deviceId, undefined, "device removed");
          return { deviceId };
        }),
    }),
    defineMethod({
      name: "device.pair.rename",
      since: "2026.9",
      params: renameParams,
      handle: ({ params: { deviceId, label: given }, caller }) =>
        inTurn(async () => {
          const label = given.trim();
          if (label === "") throw new RclawError("INVALID_REQUEST", "label required");
          const device = (await book.tables()).paired.get(deviceId);
          if (!device || !mayManage(caller, deviceId))
            throw new RclawError("INVALID_REQUEST", "unknown deviceId");
          await book.put({ ...device, operatorLabel: label });
          return { deviceId, label };
        }),
    }),
    defineMethod({
      name: "device.token.rotate",
      since: "2026.2.17",
      params: rotateParams,
      handle: ({ params, caller }) =>
        inTurn(async () => {
          limit.check("device.token.rotate", caller);
          const { device, token } = await tokenOf(params, caller);
          const wanted = scopesOf(params.scopes ?? token.scopes);
          if (!coversScopes(approved(device), wanted) || !mayGrant(caller, wanted)) throw unknownRole();
          limit.add("device.token.rotate", caller);
          const next = minted(token, token.role as DeviceRole, wanted, now());
          await store(device, next);
          log.info({ device: device.deviceId, role: token.role }, "device token rotated");
          closeDevice(device.deviceId, token.role as DeviceRole, "device token rotated");
          const { token: value, scopes: granted, rotatedAtMs } = next;
          return { deviceId: device.deviceId, role: token.role, token: value, scopes: granted, rotatedAtMs };
        }),
    }),
    defineMethod({
      name: "device.token.revoke",
      since: "2026.2.17",
      params: revokeParams,
      handle: ({ params, caller }) =>
        inTurn(async () => {
          const { device, token } = await tokenOf(params, caller);
          const revokedAtMs = token.revokedAtMs ?? now();
          await store(device, { ...token, revokedAtMs });
          log.info({ device: device.deviceId, role: token.role }, "device token revoked");
          closeDevice(device.deviceId, token.role as DeviceRole, "device token revoked");
          return { deviceId: device.deviceId, role: token.role, revokedAtMs };
        }),
    }),
  ];
  return list.map((method) => ({ ...method, scope: scopes[method.name as keyof typeof scopes] }));
}

/** Whoever came with the gateway's own secret could have asked for anything; a device has what it was given, and so has a plugin. */
function mayGrant(caller: Caller, wanted: readonly Scope[]): boolean {
  return hasSecret(caller) || coversScopes(caller.scopes, wanted);
}

/** A device that is no administrator manages itself and no other; a plugin manages none. */
function mayManage(caller: Caller, target: string): boolean {
  return hasSecret(caller) || caller.deviceId === target || caller.scopes.includes("operator.admin");
}

function hasSecret({ kind, deviceId }: Caller): boolean {
  return kind !== "plugin" && deviceId === undefined;
}

function unknownRole(): RclawError {
  return new RclawError("INVALID_REQUEST", "unknown deviceId/role");
}
