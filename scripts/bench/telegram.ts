import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** As much of Telegram as an idle bot sees: who it is, and polls that wait in vain. */
export interface Telegram extends AsyncDisposable {
  readonly url: string;
  readonly botToken: string;
  readonly polls: number;
}

export async function startTelegram(): Promise<Telegram> {
  const botToken = "123456:bench-token-of-a-bot-that-does-not-exist";
  let polls = 0;
  const server = createServer((request, response) => {
    request.resume();
    const method = request.url?.split("/").at(-1)?.toLowerCase();
    if (method === "getupdates") {
      polls++;
      const timer = setTimeout(() => answer(response, []), 30_000);
      response.on("close", () => clearTimeout(timer));
    } else if (method === "getme") {
      answer(response, { id: 123_456, is_bot: true, first_name: "Bench", username: "bench_bot" });
    } else answer(response, true);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    botToken,
    get polls() {
      return polls;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(response: ServerResponse, result: unknown): void {
  response.setHeader("content-type", "application/json").end(JSON.stringify({ ok: true, result }));
}
