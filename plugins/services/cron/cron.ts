import type { PluginContext } from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { compiler, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import type { CronMethod } from "./index.ts";
import { refuse } from "./jobs.ts";
import { cronMethods } from "./methods.ts";
import { createNotify } from "./notify.ts";
import { createScheduler } from "./scheduler.ts";
import { openStore } from "./store.ts";

export interface CronConfig {
  readonly enabled: boolean;
  readonly maxConcurrentRuns: number;
  readonly webhookToken?: string;
}

export interface Cron {
  handle(name: CronMethod, call: MethodCall): Promise<unknown>;
  close(): Promise<void>;
}

export async function openCron(context: PluginContext<CronConfig>): Promise<Cron> {
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
  const methods = cronMethods({
    store,
    scheduler,
    isEnabled,
    defaultAgentId: /^agent:([^:]+):/.exec(context.sessions.canonical("main"))?.[1] ?? "main",
    storePath: () => context.storage.where(),
    now: Date.now,
  });
  const check = compiler();
  await scheduler.start();
  return {
    handle(name, call) {
      const { tidy, schema, answer } = methods[name];
      const params = tidy ? tidy(call.params) : call.params;
      const rule = check(schema);
      if (!rule.valid(params)) throw refuse(name, describeIssues(rule.issues(params)));
      return answer(params);
    },
    close: () => store.close(),
  };
}
