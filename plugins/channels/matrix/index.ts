import { definePlugin, RclawError } from "@rclaw/plugin-sdk";
import { type Account, createAccount, type Receive } from "./account.ts";
import { accountsOf, type MatrixConfig } from "./config.ts";
import { textLimit } from "./outbound.ts";

export default definePlugin<MatrixConfig>({
  activate(ctx) {
    const accounts = new Map(
      accountsOf(ctx.config).map((settings) => [settings.id, createAccount(settings, ctx)]),
    );
    const account = (id: string): Account => {
      const found = accounts.get(id);
      if (found) return found;
      const known = [...accounts.keys()].join(", ");
      throw new RclawError("NOT_FOUND", `there is no matrix account "${id}"; configured: ${known}`);
    };
    ctx.channels.register({
      id: "matrix",
      label: "Matrix",
      textLimit,
      start: (receive, signal) => startAll([...accounts.values()], receive, signal),
      send: async (message, signal) => account(message.accountId).send(message, signal),
      typing: async ({ accountId, to }, signal) => account(accountId).typing(to, signal),
      accounts: ({ probe, signal }) =>
        Promise.all([...accounts.values()].map((one) => one.status(probe, signal))),
    });
  },
});

/** One account's trouble is its own; only when none can ever work is it the channel's. */
async function startAll(accounts: readonly Account[], receive: Receive, signal: AbortSignal): Promise<void> {
  const usable = accounts.filter(({ settings }) => settings.enabled !== false && settings.isConfigured);
  const results = await Promise.allSettled(usable.map((one) => one.start(receive, signal)));
  const failed = results.filter((result) => result.status === "rejected");
  if (failed[0] && failed.length === results.length) throw failed[0].reason;
}
