import { randomInt } from "node:crypto";
import { readdir, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { defineMethod, type Logger, RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { pairingApproveParams, pairingListParams, pairingRevokeParams } from "./pairing.schema.ts";

/** Somebody who wrote to the assistant and waits to be let in. */
interface PairingRequest {
  readonly id: string;
  readonly code: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly lastSeenAt: string;
  readonly meta: { readonly accountId: string; readonly name?: string; readonly peerId?: string };
}

interface PairingSender {
  readonly id: string;
  readonly name?: string;
  /** Where an answer reaches them, when that is not their id. */
  readonly peerId?: string;
}

export interface Pairing {
  /** Undefined when as many requests as allowed are waiting already: then the sender hears nothing. */
  request(
    channel: string,
    accountId: string,
    sender: PairingSender,
  ): Promise<{ readonly code: string; readonly isNew: boolean } | undefined>;
  /** Forgets a request whose code never reached the sender, so that the next message makes a new one. */
  withdraw(channel: string, code: string): Promise<void>;
  list(channel?: string): Promise<{
    readonly requests: readonly (PairingRequest & { readonly channel: string })[];
    readonly allowed: readonly {
      readonly channel: string;
      readonly accountId: string;
      readonly id: string;
    }[];
  }>;
  approve(
    channel: string,
    code: string,
  ): Promise<{
    readonly channel: string;
    readonly accountId: string;
    readonly id: string;
    readonly peerId: string;
  }>;
  revoke(channel: string, id: string): Promise<{ readonly revoked: boolean }>;
  allowed(channel: string, accountId: string): Promise<readonly string[]>;
}

export interface PairingOptions {
  /** `<state>/credentials`. */
  readonly dir: string;
  readonly log?: Logger;
  now?(): number;
}

/** Without I, O, 0 and 1, which people mistake for each other. 32 letters, so a code is 40 bits. */
const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const codeLength = 8;
export const lifeMs = 3_600_000;
export const maxPending = 3;
const wrongCodes = { max: 5, windowMs: 60_000 };

/** Files are OpenClaw's, so that people who move over stay let in. */
interface RequestFile {
  version: 1;
  requests: PairingRequest[];
}
interface AllowFile {
  version: 1;
  allowFrom: string[];
}

/**
 * Lets strangers ask and the owner answer. Every operation waits for the one before
 * it: two messages at once must not both see two pending requests and make four.
 */
export function createPairing({ dir, log, now = Date.now }: PairingOptions): Pairing {
  const inTurn = createTurns();
  const mistakes = new Map<string, number[]>();

  const requestsFile = (channel: string): string => path.join(dir, `${named(channel)}-pairing.json`);

  async function read<T extends { version: 1 }>(file: string, empty: T): Promise<T> {
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return empty;
      throw error;
    }
    try {
      const found = JSON.parse(text) as Partial<T>;
      const lists = Object.entries(empty).filter(([, value]) => Array.isArray(value));
      if (lists.every(([key]) => Array.isArray(found[key as keyof T]))) return { ...empty, ...found };
    } catch {
      // Set aside below, like a file of the wrong shape.
    }
    // Nobody is let in by a file that cannot be read; the file stays for a person to look at.
    const aside = `${file}.corrupt-${now()}`;
    await rename(file, aside);
    log?.error(
      { file, aside },
      "a pairing file is corrupt and was set aside; senders it held must pair again",
    );
    return empty;
  }

  const save = (file: string, content: RequestFile | AllowFile): Promise<void> =>
    storeAtomic(file, `${JSON.stringify(content, null, 2)}\n`);
  const isAlive = ({ createdAt }: PairingRequest): boolean => now() - Date.parse(createdAt) < lifeMs;

  async function pending(channel: string): Promise<PairingRequest[]> {
    const { requests } = await read<RequestFile>(requestsFile(channel), { version: 1, requests: [] });
    return requests.filter(isAlive);
  }

  async function channels(): Promise<string[]> {
    const names = await readdir(dir).catch(() => []);
    const found = names.map(
      (name) => /^([a-z][a-z0-9-]*?)(?:\..*)?-(?:pairing|allowFrom)\.json$/.exec(name)?.[1],
    );
    return [...new Set(found.filter((name) => name !== undefined))].sort();
  }

  async function accounts(channel: string): Promise<string[]> {
    const names = await readdir(dir).catch(() => []);
    return names.flatMap((name) => {
      if (name === `${channel}-allowFrom.json`) return ["default"];
      const account =
        name.startsWith(`${channel}.`) && /^\.(.+)-allowFrom\.json$/.exec(name.slice(channel.length))?.[1];
      return account ? [decodeURIComponent(account)] : [];
    });
  }

  /** The default account's name is OpenClaw's; a dot cannot stand in a channel's id, so no two pairs share a file. */
  const allowFile = (channel: string, accountId: string): string =>
    path.join(
      dir,
      accountId === "default"
        ? `${named(channel)}-allowFrom.json`
        : `${named(channel)}.${encodeURIComponent(accountId)}-allowFrom.json`,
    );
  const allowed = (channel: string, accountId: string): Promise<AllowFile> =>
    read<AllowFile>(allowFile(channel, accountId), { version: 1, allowFrom: [] });

  /** Counts wrong codes per channel, so that whoever may approve cannot search for a code. */
  function guard(channel: string): void {
    const recent = (mistakes.get(channel) ?? []).filter((at) => now() - at < wrongCodes.windowMs);
    mistakes.set(channel, recent);
    if (recent.length < wrongCodes.max) return;
    const retryAfterMs = wrongCodes.windowMs - (now() - recent[0]!);
    throw new RclawError(
      "RATE_LIMITED",
      `too many wrong pairing codes for ${channel}; wait ${Math.ceil(retryAfterMs / 1_000)} s`,
      {
        retryable: true,
        details: { channel, retryAfterMs },
      },
    );
  }

  return {
    request: (channel, accountId, sender) =>
      inTurn(async () => {
        const requests = await pending(channel);
        const ofAccount = requests.filter(({ meta }) => (meta?.accountId ?? "default") === accountId);
        const known = ofAccount.find(({ id }) => id === sender.id);
        if (known) return { code: known.code, isNew: false };
        if (ofAccount.length >= maxPending) return undefined;
        const code = newCode(requests);
        const at = new Date(now()).toISOString();
        const { id, name, peerId } = sender;
        const meta = {
          accountId,
          ...(name !== undefined && { name }),
          ...(peerId !== undefined && { peerId }),
        };
        await save(requestsFile(channel), {
          version: 1,
          requests: [...requests, { id, code, createdAt: at, lastSeenAt: at, meta }],
        });
        return { code, isNew: true };
      }),
    withdraw: (channel, code) =>
      inTurn(async () => {
        const requests = await pending(channel);
        await save(requestsFile(channel), {
          version: 1,
          requests: requests.filter((request) => request.code !== code),
        });
      }),
    list: (only) =>
      inTurn(async () => {
        const all = only === undefined ? await channels() : [named(only)];
        const requests: (PairingRequest & { channel: string })[] = [];
        const senders: { channel: string; accountId: string; id: string }[] = [];
        for (const channel of all) {
          for (const request of await pending(channel)) requests.push({ channel, ...request });
          for (const accountId of await accounts(channel)) {
            for (const id of (await allowed(channel, accountId)).allowFrom)
              senders.push({ channel, accountId, id });
          }
        }
        return { requests, allowed: senders };
      }),
    approve: (channel, given) =>
      inTurn(async () => {
        guard(named(channel));
        const code = given.trim().toUpperCase();
        const requests = await pending(channel);
        const request = requests.find((item) => item.code === code);
        if (!request) {
          mistakes.get(channel)?.push(now());
          throw new RclawError(
            "NOT_FOUND",
            `no pending ${channel} request has this code; codes expire after one hour: ask the sender to write again`,
            {
              details: { channel },
            },
          );
        }
        const accountId = request.meta?.accountId ?? "default";
        const { allowFrom } = await allowed(channel, accountId);
        // First let in, then forget the request: a crash in between leaves a code that can be used again, not a lost approval.
        await save(allowFile(channel, accountId), {
          version: 1,
          allowFrom: [...new Set([...allowFrom, request.id])],
        });
        await save(requestsFile(channel), {
          version: 1,
          requests: requests.filter((item) => item !== request),
        });
        return { channel, accountId, id: request.id, peerId: request.meta?.peerId ?? request.id };
      }),
    revoke: (channel, id) =>
      inTurn(async () => {
        let revoked = false;
        for (const accountId of await accounts(named(channel))) {
          const { allowFrom } = await allowed(channel, accountId);
          if (!allowFrom.includes(id)) continue;
          await save(allowFile(channel, accountId), {
            version: 1,
            allowFrom: allowFrom.filter((item) => item !== id),
          });
          revoked = true;
        }
        const requests = await pending(channel);
        const rest = requests.filter((request) => request.id !== id);
        if (rest.length < requests.length) {
          await save(requestsFile(channel), { version: 1, requests: rest });
          revoked = true;
        }
        return { revoked };
      }),
    allowed: (channel, accountId) => inTurn(async () => (await allowed(channel, accountId)).allowFrom),
  };
}

/** `randomInt` draws without the bias that a remainder has. */
function newCode(taken: readonly PairingRequest[]): string {
  for (;;) {
    const code = Array.from({ length: codeLength }, () => alphabet[randomInt(alphabet.length)]).join("");
    if (!taken.some((request) => request.code === code)) return code;
  }
}

/** A channel's id becomes a file name, and `pairing.*` take it from a client. */
function named(channel: string): string {
  if (/^[a-z][a-z0-9-]{0,63}$/.test(channel)) return channel;
  throw new RclawError("INVALID_REQUEST", `there is no channel ${JSON.stringify(channel.slice(0, 64))}`);
}

export interface PairingMethodsOptions {
  readonly pairing: Pairing;
  /** Sends one line to a sender who was let in. */
  notify(channel: string, accountId: string, peerId: string, signal: AbortSignal): Promise<void>;
}

export function pairingMethods({ pairing, notify }: PairingMethodsOptions): KernelMethod[] {
  const list = defineMethod({
    name: "pairing.list",
    since: "rclaw",
    params: pairingListParams,
    handle: ({ params }) => pairing.list(params.channel),
  });
  const approve = defineMethod({
    name: "pairing.approve",
    since: "rclaw",
    params: pairingApproveParams,
    async handle({ params: { channel, code, notify: tell }, signal }) {
      const { peerId, ...approved } = await pairing.approve(channel, code);
      if (!tell) return { ...approved, notified: false };
      // They are let in whether or not the message reaches them.
      const notified = await notify(channel, approved.accountId, peerId, signal).then(
        () => true,
        () => false,
      );
      return { ...approved, notified };
    },
  });
  const revoke = defineMethod({
    name: "pairing.revoke",
    since: "rclaw",
    params: pairingRevokeParams,
    handle: ({ params }) => pairing.revoke(params.channel, params.id),
  });
  return [list, approve, revoke].map((method) => ({ ...method, scope: "operator.pairing" }));
}
