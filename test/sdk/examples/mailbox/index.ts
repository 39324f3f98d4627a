import { randomUUID } from "node:crypto";
import { definePlugin, type InboundMessage, RclawError } from "@rclaw/plugin-sdk";

interface Letter {
  readonly id: string;
  readonly from: string;
  readonly text: string;
}

function letterIn(body: Uint8Array): Letter | undefined {
  try {
    const letter = JSON.parse(new TextDecoder().decode(body)) as Partial<Letter> | null;
    const { id, from, text } = letter ?? {};
    return id && from && typeof text === "string" ? { id, from, text } : undefined;
  } catch {
    return undefined;
  }
}

export default definePlugin<{ readonly url: string }>({
  activate(ctx) {
    const { url } = ctx.config;
    let receive: ((message: InboundMessage) => Promise<void>) | undefined;

    ctx.channels.register({
      id: "mailbox",
      label: "Mailbox",
      // The other side takes texts of any length, so nothing is ever split.
      textLimit: 1_000_000,
      async start(deliver, signal) {
        receive = deliver;
        signal.addEventListener("abort", () => (receive = undefined), { once: true });
      },
      async send({ to, text }, signal) {
        const id = randomUUID();
        const body = JSON.stringify({ id, to, text });
        const headers = { "content-type": "application/json" };
        const response = await ctx.fetch(url, { method: "POST", headers, body, signal });
        if (response.ok) return { id };
        throw new RclawError("UNAVAILABLE", `the mailbox at ${url} answered ${response.status}`, {
          retryable: response.status >= 500,
        });
      },
      accounts: async () => [
        { accountId: "default", enabled: true, configured: true, running: receive !== undefined },
      ],
    });

    ctx.routes.register({
      route: "POST /mailbox",
      auth: "gateway",
      async handle({ body }) {
        const letter = letterIn(body);
        if (!letter) return { status: 400, body: 'Send JSON: { "id", "from", "text" }\n' };
        if (!receive) return { status: 503, body: "Not started; try again.\n" };
        const { id, from, text } = letter;
        // Resolves when the message is safe: only then is it accepted here.
        await receive({
          id,
          accountId: "default",
          chatType: "direct",
          peerId: from,
          sender: { id: from },
          text,
        });
        return { status: 202 };
      },
    });
  },
});
