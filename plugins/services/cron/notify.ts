import type { PluginContext } from "@rclaw/plugin-sdk";
import { announce } from "./deliver.ts";
import type { CronJob, RunEntry } from "./methods.schema.ts";
import type { Settled } from "./outcome.ts";

export interface NotifyOptions {
  readonly context: PluginContext;
  /** A bearer token for web addresses, maybe as the name of a secret. */
  readonly webhookToken: string | undefined;
}

const webhookMs = 10_000;

/** What goes out of the gateway after a run: the job's webhook, and a word to somebody when it keeps failing. */
export function createNotify({ context, webhookToken }: NotifyOptions) {
  const { log, secrets, signal } = context;

  async function post(url: string, event: object): Promise<void> {
    const token = webhookToken === undefined ? undefined : await secrets.resolve(webhookToken);
    const answer = await context.fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(event),
      signal: AbortSignal.any([signal, AbortSignal.timeout(webhookMs)]),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Error(`it answered with status ${answer.status}`);
  }

  async function alert(job: CronJob, entry: RunEntry): Promise<void> {
    const { failureAlert, delivery } = job;
    if (!failureAlert) return;
    const { mode, channel, to, accountId } = { ...delivery?.failureDestination, ...failureAlert };
    const text = `Cron job "${job.name}" failed ${job.state.consecutiveErrors ?? 0} times in a row: ${entry.error ?? "no reason was given"}`;
    if (mode === "webhook" && to !== undefined) return post(to, { ...entry, text });
    const place = { ...(channel && { channel }), ...(to && { to }), ...(accountId && { accountId }) };
    const usual = delivery?.mode === "announce" ? delivery : {};
    const { delivered, deliveryError } = await announce(
      context,
      { ...job, delivery: { ...usual, ...place, mode: "announce", bestEffort: true } },
      text,
      async () => true,
    );
    if (delivered === false && deliveryError !== undefined) throw new Error(deliveryError);
  }

  return ({ job, entry, isAlarming }: Settled): void => {
    const complain = (what: string) => (error: unknown) => {
      if (!signal.aborted)
        log.warn({ err: error, jobId: job.id }, `${what} of cron job ${job.id} did not get through`);
    };
    const { ts: _ts, ...event } = entry;
    if (job.delivery?.mode === "webhook" && entry.summary !== undefined)
      post(job.delivery.to.trim(), event).catch(complain("the webhook"));
    if (isAlarming) alert(job, entry).catch(complain("the failure alert"));
  };
}
