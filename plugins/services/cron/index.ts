import { definePlugin } from "@rclaw/plugin-sdk";
import { cronMethods } from "./methods.ts";
import { createNotify } from "./notify.ts";
import { createScheduler } from "./scheduler.ts";
import { openStore } from "./store.ts";

interface CronConfig {
  readonly enabled: boolean;
  readonly maxConcurrentRuns: number;
  readonly webhookToken?: string;
}

/** Jobs that run by themselves: at a moment, at even intervals, or by a cron expression. */
export default definePlugin<CronConfig>({
  async activate(context) {
    const { enabled, maxConcurrentRuns, webhookToken } = context.config;
    const store = await openStore(context.storage);
    // A command without a gateway is gone in a moment: it looks after jobs, and runs what it is told to.
    const isEnabled = enabled && context.gateway.isServing();
    const scheduler = createScheduler({
      context,
      store,
      isEnabled,
      maxConcurrentRuns,
      now: Date.now,
      onFinished: createNotify({ context, webhookToken }),
    });
    const storePath = (): Promise<string> => context.storage.where();
    for (const method of cronMethods({ store, scheduler, isEnabled, storePath, now: Date.now }))
      context.methods.register(method);
    await scheduler.start();
  },
});
