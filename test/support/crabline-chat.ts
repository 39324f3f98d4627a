import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { loadCrabline } from "./crabline.ts";
import { ending } from "./ends.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface ChatPeer extends AsyncDisposable {
  readonly baseUrl: string;
  readonly token: string;
  readonly botUserId: string;
  /** Lets somebody write; the fields are crabline's. */
  say(message: Fields): Promise<Fields>;
  /** Calls of the platform's API that were recorded, oldest first. */
  calls(): Promise<readonly { readonly method: string; readonly path: string; readonly body?: Fields }[]>;
}

interface Manifest {
  readonly baseUrl: string;
  readonly botUserId: string;
  readonly adminToken: string;
  readonly accessToken?: string;
  readonly botToken?: string;
  readonly endpoints: { readonly adminInboundUrl: string };
}

/** crabline's server for a platform; written by others from the platform's documents. */
export async function startChatPeer(channel: "matrix" | "mattermost"): Promise<ChatPeer> {
  const { startCrablineServer } = await loadCrabline();
  const folder = await mkdtemp(path.join(tmpdir(), "rclaw-chat-"));
  const recorderPath = path.join(folder, "calls.jsonl");
  const server = await startCrablineServer({ channel, recorderPath });
  const manifest = server.manifest as unknown as Manifest;
  return ending<ChatPeer>({
    baseUrl: manifest.baseUrl,
    botUserId: manifest.botUserId,
    token: manifest.accessToken ?? manifest.botToken ?? "",
    async say(message) {
      const response = await fetch(manifest.endpoints.adminInboundUrl, {
        method: "POST",
        headers: { "content-type": "application/json", "x-crabline-admin-token": manifest.adminToken },
        body: JSON.stringify(message),
      });
      const answer = (await response.json()) as Fields;
      if (answer["ok"] !== true) throw new Error(`the peer refused: ${JSON.stringify(answer)}`);
      return answer;
    },
    calls: async () =>
      (await readFile(recorderPath, "utf8").catch(() => ""))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { type: string; method: string; path: string })
        .filter(({ type }) => type === "api"),
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  });
}
