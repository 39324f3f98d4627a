import { createHash, randomUUID } from "node:crypto";
import path from "node:path";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import type { Static } from "typebox";
import { refused } from "./command-line.ts";
import { approvalsFile } from "./methods.schema.ts";
import { said } from "./text.ts";

type ApprovalsFile = Static<typeof approvalsFile>;

interface Snapshot {
  readonly path: string;
  readonly exists: boolean;
  readonly hash: string;
  readonly file: ApprovalsFile;
}

export interface RulesFile {
  get(): Promise<Snapshot>;
  /** Durable when it resolves; refused when somebody else has written since. */
  set(file: ApprovalsFile, baseHash: string | undefined): Promise<Snapshot>;
}

const storageKey = "file";

/** The file of who may run what. It is kept in the plugin's storage, which is replaced as a whole or not at all. */
export function openRulesFile({
  storage,
  folder,
}: {
  storage: PluginContext["storage"];
  /** Where the gateway keeps its state. */
  folder(): Promise<string>;
}): RulesFile {
  /** One after the other, so that the hash that was compared is the one that is replaced. */
  const inTurn = createTurns();

  async function current(): Promise<ApprovalsFile> {
    const stored = await kept<ApprovalsFile>(storage, storageKey, compile(approvalsFile).valid);
    if (stored) return stored;
    const socket = { path: path.join(await folder(), "exec-approvals.sock") };
    const fresh: ApprovalsFile = { version: 1, socket, defaults: {}, agents: {} };
    await storage.set(storageKey, fresh);
    return fresh;
  }

  async function snapshot(file: ApprovalsFile): Promise<Snapshot> {
    const { socket, ...rest } = file;
    const socketPath = said(socket?.path);
    return {
      path: path.join(await folder(), "plugins", "approvals", "storage.json"),
      exists: true,
      hash: hashOf(file),
      // The token is for the programs on this machine, and for nobody else.
      file: { ...rest, ...(socketPath !== undefined && { socket: { path: socketPath } }) },
    };
  }

  return {
    get: () => inTurn(async () => snapshot(await current())),
    set: (file, baseHash) =>
      inTurn(async () => {
        const before = await current();
        if (baseHash === undefined || baseHash.trim() === "")
          throw refused("exec approvals base hash required; re-run exec.approvals.get and retry");
        if (baseHash.trim() !== hashOf(before))
          throw refused("exec approvals changed since last load; re-run exec.approvals.get and retry");
        const next = normalised(file, before.socket);
        await storage.set(storageKey, next);
        return snapshot(next);
      }),
  };
}

const hashOf = (file: ApprovalsFile): string =>
  createHash("sha256")
    .update(`${JSON.stringify(file, null, 2)}\n`)
    .digest("hex");

/** What nobody gave stays as it was; entries get an id, and an agent of the old name "default" is the main one. */
function normalised(file: ApprovalsFile, before: ApprovalsFile["socket"]): ApprovalsFile {
  const { default: old, ...agents } = file.agents ?? {};
  if (old) {
    const { main } = agents;
    agents["main"] = {
      ...old,
      ...main,
      ...((main?.allowlist ?? old.allowlist) && {
        allowlist: [...(old.allowlist ?? []), ...(main?.allowlist ?? [])],
      }),
    };
  }
  return {
    version: 1,
    socket: {
      ...optional("path", said(file.socket?.path) ?? before?.path),
      ...optional("token", said(file.socket?.token) ?? before?.token),
    },
    defaults: file.defaults ?? {},
    agents: Object.fromEntries(
      Object.entries(agents).map(([id, { allowlist, ...agent }]) => [
        id,
        {
          ...agent,
          ...(allowlist && {
            allowlist: allowlist
              .filter(({ pattern }) => pattern.trim() !== "")
              .map((entry) => ({ ...entry, id: entry.id ?? randomUUID() })),
          }),
        },
      ]),
    ),
  };
}

const optional = <Name extends string>(
  key: Name,
  value: string | undefined,
): { readonly [K in Name]?: string } =>
  (value === undefined ? {} : { [key]: value }) as { readonly [K in Name]?: string };
