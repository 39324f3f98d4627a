import { createHash } from "node:crypto";
import { type ChannelAccount, defineMethod, RclawError } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { inboundRules } from "./inbound.ts";
import { lifeMs, maxPending, type Pairing, type PairingMethodsOptions } from "./pairing.ts";
import { accessListParams, accessParams, accessApproveParams } from "./pairing.schema.ts";

/** An account of a running channel. */
export interface OpenAccount {
  readonly channel: string;
  readonly channelLabel: string;
  readonly account: ChannelAccount;
}

interface AccessOptions extends PairingMethodsOptions {
  accounts(signal: AbortSignal): Promise<readonly OpenAccount[]>;
  config(): Readonly<Record<string, unknown>>;
}

type Request = Awaited<ReturnType<Pairing["list"]>>["requests"][number];

/** `channels.pairing.*`: the same requests as `pairing.*`, as OpenClaw's Control UI shows them. */
export function accessMethods({ pairing, notify, accounts, config }: AccessOptions): KernelMethod[] {
  async function waiting(
    wanted: { readonly channel?: string; readonly accountId?: string },
    signal: AbortSignal,
  ): Promise<readonly (Pick<OpenAccount, "channel" | "channelLabel"> & { accountId: string })[]> {
    const open = await accounts(signal);
    return open.flatMap(({ channel, channelLabel, account: { accountId } }) => {
      if (wanted.channel !== undefined && wanted.channel !== channel) return [];
      if (wanted.accountId !== undefined && wanted.accountId !== accountId) return [];
      if (inboundRules(config(), channel, accountId).dmPolicy !== "pairing") return [];
      return [{ channel, channelLabel, accountId }];
    });
  }

  async function find(wanted: { channel: string; accountId: string; requestId: string }): Promise<Request> {
    const { requests } = await pairing.list(wanted.channel);
    const found = requests.find(
      (request) => accountOf(request) === wanted.accountId && idOf(request) === wanted.requestId,
    );
    if (!found) throw new RclawError("INVALID_REQUEST", "pending DM access request no longer exists");
    return found;
  }

  const list = defineMethod({
    name: "channels.pairing.list",
    since: "2026.9",
    params: accessListParams,
    async handle({ params, signal }) {
      const open = await waiting(params, signal);
      const { requests } = await pairing.list(params.channel);
      return {
        accounts: open.map((account) => ({ ...account, notifySupported: true })),
        requests: requests.flatMap((request) => {
          const account = open.find(
            ({ channel, accountId }) => channel === request.channel && accountId === accountOf(request),
          );
          return account ? [{ ...account, ...shown(request) }] : [];
        }),
        commandOwnerConfigured: isOwnerKnown(config()),
        limits: { pendingPerAccount: maxPending, ttlMs: lifeMs },
      };
    },
  });

  const approve = defineMethod({
    name: "channels.pairing.approve",
    since: "2026.9",
    params: accessApproveParams,
    async handle({ params, signal }) {
      const { channel, code } = await find(params);
      const { id, accountId, peerId } = await pairing.approve(channel, code);
      // They are let in whether or not the message reaches them.
      const told = (): Promise<string> =>
        notify(channel, accountId, peerId, signal).then(
          () => "sent",
          () => "failed",
        );
      const owner = isOwnerKnown(config()) ? "already-configured" : "unavailable";
      return {
        requestId: params.requestId,
        senderId: id,
        notification: params.notify ? await told() : "not-requested",
        commandOwnerBootstrap: params.bootstrapCommandOwner ? owner : "not-requested",
      };
    },
  });

  const dismiss = defineMethod({
    name: "channels.pairing.dismiss",
    since: "2026.9",
    params: accessParams,
    async handle({ params }) {
      const { channel, code, id } = await find(params);
      await pairing.withdraw(channel, code);
      return { requestId: params.requestId, senderId: id };
    },
  });
  return [list, approve, dismiss].map((method) => ({ ...method, scope: "operator.pairing" }));
}

const accountOf = ({ meta }: Request): string => meta?.accountId ?? "default";

/** Says which request without giving its code away. */
const idOf = (request: Request): string =>
  createHash("sha256")
    .update(`${request.channel}\n${accountOf(request)}\n${request.code}`)
    .digest("hex")
    .slice(0, 32);

function shown(request: Request): object {
  const { id, meta, createdAt, lastSeenAt } = request;
  const name = meta?.name;
  return {
    requestId: idOf(request),
    senderId: id,
    senderLabel: "Sender",
    ...(name !== undefined && { metadata: { name } }),
    createdAt,
    lastSeenAt,
    expiresAt: new Date(Date.parse(createdAt) + lifeMs).toISOString(),
    notifySupported: true,
  };
}

const isOwnerKnown = (config: Readonly<Record<string, unknown>>): boolean =>
  inboundRules(config, "", "").ownerAllowFrom.length > 0;
