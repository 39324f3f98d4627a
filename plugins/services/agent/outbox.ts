import { isRclawError, type PluginContext } from "@rclaw/plugin-sdk";
import { pause } from "./ask.ts";
import type { Settings } from "./config.ts";
import type { Target } from "./request.ts";

const attempts = 3;

/**
 * Answers on their way to one place leave in the order in which they were ready, although
 * one may have to be tried again while its channel starts anew.
 */
export function createOutbox(
  context: { readonly channels: Pick<PluginContext["channels"], "deliver">; readonly signal: AbortSignal },
  settings: Pick<Settings, "retry">,
) {
  const last = new Map<string, Promise<void>>();

  async function deliver({ channel, ...rest }: Target, text: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await context.channels.deliver(channel, { ...rest, text }, context.signal);
        return;
      } catch (error) {
        if (!isRclawError(error) || !error.retryable || attempt >= attempts || context.signal.aborted)
          throw error;
        const asked = error.details?.["retryAfterMs"];
        const { baseDelayMs, maxDelayMs } = settings.retry;
        const wait = typeof asked === "number" ? asked : baseDelayMs * 2 ** attempt;
        await pause(Math.min(wait, maxDelayMs), context.signal);
      }
    }
  }

  /** `begin` is called when the others are through: what it notes down is true only from then on. */
  return async (target: Target, text: string, begin: () => Promise<void>): Promise<void> => {
    const place = JSON.stringify([target.channel, target.accountId, target.to, target.threadId]);
    const before = last.get(place);
    const done = (async () => {
      await before;
      await begin();
      await deliver(target, text);
    })();
    // Those behind it wait for its end, whatever that is.
    const ended = done.catch(() => undefined);
    last.set(place, ended);
    try {
      await done;
    } finally {
      if (last.get(place) === ended) last.delete(place);
    }
  };
}
