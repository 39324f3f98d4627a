import { mkdtemp, readFile, rm } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { ending } from "./ends.ts";

type Fields = Readonly<Record<string, unknown>>;

interface Update {
  readonly update_id: number;
  readonly message: { readonly message_id: number; readonly text: string };
}

/** One call of the Bot API on its way: "asked" before the server sees it, "done" before the caller sees the answer. */
export interface Call {
  readonly method: string;
  readonly body: Fields;
  readonly stage: "asked" | "done";
  /** JSON, when it is done. */
  readonly answer?: string;
}

export interface TelegramPeer extends AsyncDisposable {
  readonly apiRoot: string;
  readonly token: string;
  /** Lets somebody write to the bot; the fields are crabline's. */
  say(message: Fields): Promise<Update>;
  /** Calls of one API method that the server has recorded, oldest first. */
  calls(method: string): Promise<readonly Fields[]>;
  /** Texts of the messages the bot sent, oldest first. */
  sent(): Promise<readonly string[]>;
  recorded(): Promise<string>;
  /** Resolves when the bot has confirmed the update: it was taken, or refused for good. */
  confirmed(update: Update): Promise<void>;
  /** The next poll brings these once more, as when Telegram had lost the confirmation. Resolves when the bot asks for the next ones. */
  redeliver(...updates: readonly Update[]): Promise<void>;
  /** Sees every call; what it waits for holds the call up. */
  tap(listener: (call: Call) => unknown): Disposable;
}

export const botUsername = "rusty_test_bot";

/** crabline's Telegram server behind a wire that tests can hold, cut and replay. */
export async function startTelegramPeer(): Promise<TelegramPeer> {
  const { startCrablineServer } = await loadCrabline();
  const folder = await mkdtemp(path.join(tmpdir(), "rclaw-telegram-"));
  const recorderPath = path.join(folder, "calls.jsonl");
  const server = await startCrablineServer({ channel: "telegram", recorderPath, botUsername });
  const { adminToken, botToken, endpoints } = server.manifest;
  const wire = await startWire(endpoints.apiRoot, botToken);
  const recorded = async (): Promise<string> => readFile(recorderPath, "utf8").catch(() => "");
  const calls = async (method: string): Promise<readonly Fields[]> =>
    (await recorded())
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { path: string; body: Fields; type: string })
      .filter((event) => event.type === "api" && event.path.endsWith(`/${method}`))
      .map(({ body }) => body);
  return ending<TelegramPeer>({
    apiRoot: wire.url,
    token: botToken,
    calls,
    recorded,
    confirmed: wire.confirmed,
    redeliver: wire.redeliver,
    tap: wire.tap,
    sent: async () => (await calls("sendMessage")).map(({ text }) => String(text)),
    async say(message) {
      const response = await fetch(endpoints.adminInboundUrl, {
        method: "POST",
        headers: { "content-type": "application/json", "x-crabline-admin-token": adminToken },
        body: JSON.stringify(message),
      });
      const answer = (await response.json()) as { ok: boolean; update: Update };
      if (!answer.ok) throw new Error(`the peer refused: ${JSON.stringify(answer)}`);
      return answer.update;
    },
    async [Symbol.asyncDispose]() {
      await wire.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  });
}

interface Wire extends Pick<TelegramPeer, "confirmed" | "redeliver" | "tap"> {
  readonly url: string;
  close(): Promise<void>;
}

/** What Telegram says to a token it does not know; crabline has only a bare 404 for that. */
const unauthorized = { status: 401, body: '{"ok":false,"error_code":401,"description":"Unauthorized"}' };

async function startWire(target: string, token: string): Promise<Wire> {
  const taps = new Set<(call: Call) => unknown>();
  const polls = new Set<AbortController>();
  const confirming = new Set<() => void>();
  let offset = 0;
  let again: { updates: readonly Update[]; taken(): void } | undefined;
  let fetched: (() => void) | undefined;

  const show = async (call: Call): Promise<void> => {
    for (const tap of taps) await tap(call);
  };

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = Buffer.concat(await request.toArray());
    const method = (request.url ?? "").split("/").at(-1) ?? "";
    const body = (isJson(request) && bytes.length > 0 ? JSON.parse(bytes.toString()) : {}) as Fields;
    await show({ method, body, stage: "asked" });
    const isPoll = method === "getUpdates";
    const own = new AbortController();
    if (isPoll) {
      // What else was asked stays asked when its sender dies: the bytes have left.
      response.once("close", () => own.abort());
      polls.add(own);
      fetched?.();
      fetched = undefined;
      offset = Math.max(offset, Number(body["offset"] ?? 0));
      for (const look of confirming) look();
    }
    try {
      const upstream = again && isPoll ? undefined : await forward(request, bytes, own.signal);
      const answer = upstream ?? replay();
      await show({ method, body, stage: "done", answer: answer.body });
      response.writeHead(answer.status, { "content-type": "application/json" }).end(answer.body);
    } finally {
      polls.delete(own);
    }
  }

  /** Undefined when the poll was called off for a replay. */
  async function forward(
    request: IncomingMessage,
    bytes: Buffer<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<{ status: number; body: string } | undefined> {
    if (!request.url?.startsWith(`/bot${token}/`)) return unauthorized;
    try {
      const answer = await fetch(`${target}${request.url}`, {
        method: request.method ?? "POST",
        headers: { "content-type": request.headers["content-type"] ?? "application/json" },
        ...(bytes.length > 0 && { body: bytes }),
        signal,
      });
      return { status: answer.status, body: await answer.text() };
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  function replay(): { status: number; body: string } {
    const updates = again?.updates ?? [];
    fetched = again?.taken;
    again = undefined;
    return { status: 200, body: JSON.stringify({ ok: true, result: updates }) };
  }

  const server = http.createServer((request, response) => {
    pass(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    confirmed: ({ update_id: id }) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (offset <= id) return;
          confirming.delete(look);
          resolve();
        };
        confirming.add(look);
        look();
      }),
    redeliver: (...updates) =>
      new Promise((taken) => {
        again = { updates, taken };
        for (const poll of polls) poll.abort();
      }),
    tap(listener) {
      taps.add(listener);
      return { [Symbol.dispose]: () => void taps.delete(listener) };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Files are sent in parts. */
const isJson = ({ headers }: IncomingMessage): boolean => headers["content-type"]?.includes("json") ?? true;

/** Loading it installs exit hooks for its lock files; these tests end their servers themselves. */
export async function loadCrabline(): Promise<typeof import("@openclaw/crabline")> {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const before = signals.map((signal) => process.listeners(signal));
  const loaded = await import("@openclaw/crabline");
  for (const [i, signal] of signals.entries())
    for (const listener of process.listeners(signal))
      if (!before[i]?.includes(listener)) process.off(signal, listener);
  return loaded;
}
