import { definePlugin, type Plugin, RclawError } from "@rclaw/plugin-sdk";
import { type Account, createAccount } from "./account.ts";
import { accountsOf, type TelegramConfig } from "./config.ts";
import { defaultTiming, type Receive, type Timing } from "./intake.ts";
import { textLimit } from "./outbound.ts";
import { createWebhook } from "./webhook.ts";

/** The plugin, with other pauses than usual when a test asks for them. */
export function telegram(timing: Partial<Timing> = {}, now: () => number = Date.now): Plugin<TelegramConfig> {
  return definePlugin<TelegramConfig>({
    activate(ctx) {
      const all = { ...defaultTiming, ...timing };
      const accounts = new Map(
        accountsOf(ctx).map((settings) => [
          settings.id,
          createAccount({ settings, context: ctx, timing: all, now }),
        ]),
      );

      const account = (id: string): Account => {
        const found = accounts.get(id);
        if (found) return found;
        throw new RclawError(
          "NOT_FOUND",
          `there is no telegram account "${id}"; configured: ${[...accounts.keys()].join(", ")}`,
          {
            details: { accountId: id },
          },
        );
      };

      ctx.channels.register({
        id: "telegram",
        label: "Telegram",
        textLimit,
        start: (receive, signal) => startAll([...accounts.values()], receive, signal),
        send: async (message, signal) => account(message.accountId).send(message, signal),
        typing: async (target, signal) => account(target.accountId).typing(target, signal),
        accounts: ({ probe, signal }) =>
          Promise.all([...accounts.values()].map((one) => one.status(probe, signal))),
      });
      const hooks = () =>
        [...accounts.values()].map((one) => one.webhook()).filter((hook) => hook !== undefined);
      ctx.routes.register(createWebhook(hooks, now));
    },
  });
}

/** One account's trouble is its own; only when none can ever work is it the channel's. */
async function startAll(accounts: readonly Account[], receive: Receive, signal: AbortSignal): Promise<void> {
  const usable = accounts.filter(({ settings }) => settings.enabled !== false && settings.botToken);
  refuseShared(usable);
  const results = await Promise.allSettled(usable.map((account) => account.start(receive, signal)));
  const failed = results.filter((result) => result.status === "rejected");
  if (failed[0] && failed.length === results.length) throw failed[0].reason;
}

/** Two accounts with one token would steal each other's updates; with one secret a webhook could not tell them apart. */
function refuseShared(accounts: readonly Account[]): void {
  for (const field of ["botToken", "webhookSecret"] as const) {
    const owners = new Map<string, string>();
    for (const { settings } of accounts) {
      const value = settings[field];
      if (!value) continue;
      const other = owners.get(value);
      if (other !== undefined) {
        throw new RclawError(
          "CONFIG_INVALID",
          `telegram accounts "${other}" and "${settings.id}" have the same ${field}; each needs one of its own`,
        );
      }
      owners.set(value, settings.id);
    }
  }
}

export default telegram();
