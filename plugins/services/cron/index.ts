import { definePlugin } from "@rclaw/plugin-sdk";
import type { Cron, CronConfig } from "./cron.ts";
import type { CronJob } from "./methods.schema.ts";

const february = "2026.2.17";
const methods = {
  "cron.list": february,
  "cron.status": february,
  "cron.get": "2026.9",
  "cron.runs": february,
  "cron.add": february,
  "cron.update": february,
  "cron.remove": february,
  "cron.run": february,
} as const;

export type CronMethod = keyof typeof methods;

/**
 * Jobs that run by themselves: at a moment, at even intervals, or by a cron expression. It is brought up
 * with every gateway, and most have no job: what knows about jobs is loaded when there is one, or somebody asks.
 */
export default definePlugin<CronConfig>({
  async activate(context) {
    let opening: Promise<Cron> | undefined;
    function open(): Promise<Cron> {
      opening ??= import("./cron.ts").then(({ openCron }) => openCron(context));
      opening.catch(() => (opening = undefined));
      return opening;
    }
    for (const [name, since] of Object.entries(methods) as [CronMethod, string][])
      context.methods.register({ name, since, handle: async (call) => (await open()).handle(name, call) });
    // Before the methods go: the next instance may be asked as soon as they have.
    context.defer(() => opening?.then((cron) => cron.close()));
    if (!context.config.enabled || !context.gateway.isServing()) return;
    const jobs = (await context.storage.get("jobs")) ?? [];
    if (!Array.isArray(jobs) || jobs.some(isForNow)) await open();
  },
});

/** What is no job is looked at as well, so that somebody says so. */
function isForNow(job: Partial<CronJob> | null): boolean {
  return !job?.state || job.enabled === true || job.state.runningAtMs !== undefined;
}
