import { readFile } from "node:fs/promises";
import path from "node:path";

export interface TelegramPeer {
  readonly apiRoot: string;
  readonly token: string;
  /** Lets somebody write to the bot; the fields are crabline's. */
  say(
    message: Readonly<Record<string, unknown>>,
  ): Promise<{ update_id: number; message: { message_id: number } }>;
  /** Calls of one API method that the server has recorded, oldest first. */
  calls(method: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  recorded(): Promise<string>;
  close(): Promise<void>;
}

/** A Telegram server over real HTTP. */
export async function startTelegramPeer(folder: string): Promise<TelegramPeer> {
  const { startCrablineServer } = await withoutSignalListeners(() => import("@openclaw/crabline"));
  const recorderPath = path.join(folder, `telegram-${crypto.randomUUID()}.jsonl`);
  const server = await startCrablineServer({ channel: "telegram", recorderPath });
  const { adminToken, botToken, endpoints } = server.manifest as {
    adminToken: string;
    botToken: string;
    endpoints: { apiRoot: string; adminInboundUrl: string };
  };
  const recorded = async (): Promise<string> => readFile(recorderPath, "utf8").catch(() => "");
  return {
    apiRoot: endpoints.apiRoot,
    token: botToken,
    async say(message) {
      const response = await fetch(endpoints.adminInboundUrl, {
        method: "POST",
        headers: { "content-type": "application/json", "x-crabline-admin-token": adminToken },
        body: JSON.stringify(message),
      });
      const answer = (await response.json()) as {
        ok: boolean;
        update: { update_id: number; message: { message_id: number } };
      };
      if (!answer.ok) throw new Error(`the peer refused: ${JSON.stringify(answer)}`);
      return answer.update;
    },
    async calls(method) {
      const events = (await recorded())
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { path: string; body: Record<string, unknown>; type: string });
      return events
        .filter((event) => event.type === "api" && event.path.endsWith(`/${method}`))
        .map(({ body }) => body);
    },
    recorded,
    close: () => server.close(),
  };
}

/** Loading crabline installs an exit hook for its lock files; these tests end their servers themselves. */
async function withoutSignalListeners<T>(load: () => Promise<T>): Promise<T> {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const before = signals.map((signal) => process.listeners(signal));
  const loaded = await load();
  for (const [i, signal] of signals.entries()) {
    for (const listener of process.listeners(signal)) {
      if (!before[i]?.includes(listener)) process.off(signal, listener);
    }
  }
  return loaded;
}
