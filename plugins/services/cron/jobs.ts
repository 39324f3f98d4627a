import { RclawError } from "@rclaw/plugin-sdk";
import type { CronAdd, CronDelivery, CronJob, CronPatch, CronSchedule } from "./methods.schema.ts";
import { staggerFor } from "./schedule.ts";

type Payload = CronJob["payload"];
type PayloadPatch = NonNullable<CronPatch["payload"]>;
type DeliveryPatch = NonNullable<CronPatch["delivery"]>;

const maxJobBytes = 65_536;

export function refuse(method: string, what: string): RclawError {
  return new RclawError("INVALID_REQUEST", `invalid ${method} params: ${what}`);
}

export function createJob(input: CronAdd, { id, now }: { id: string; now: number }): CronJob {
  const { agentId, sessionKey, description, deleteAfterRun, delivery, failureAlert, schedule } = input;
  const afterwards = deleteAfterRun ?? (schedule.kind === "at" ? true : undefined);
  return checked("cron.add", {
    id,
    ...(agentId && { agentId }),
    ...(sessionKey && { sessionKey }),
    name: input.name.trim(),
    ...(description?.trim() && { description: description.trim() }),
    enabled: input.enabled ?? true,
    ...(afterwards !== undefined && { deleteAfterRun: afterwards }),
    createdAtMs: now,
    updatedAtMs: now,
    schedule: withAnchor(schedule, now),
    sessionTarget: input.sessionTarget,
    wakeMode: input.wakeMode,
    payload: input.payload,
    ...(delivery && { delivery }),
    ...(failureAlert !== undefined && { failureAlert }),
    state: {},
  });
}

export function patchJob(job: CronJob, patch: CronPatch, now: number): CronJob {
  const next: CronJob = { ...job, updatedAtMs: now };
  if (patch.name !== undefined) next.name = patch.name.trim();
  if (patch.description !== undefined) next.description = patch.description.trim();
  if (next.description === "") delete next.description;
  if (patch.enabled !== undefined) next.enabled = patch.enabled;
  if (patch.deleteAfterRun !== undefined) next.deleteAfterRun = patch.deleteAfterRun;
  if (patch.schedule) next.schedule = rescheduled(job, patch.schedule, now);
  if (patch.sessionTarget) next.sessionTarget = patch.sessionTarget;
  if (patch.wakeMode) next.wakeMode = patch.wakeMode;
  if (patch.payload) next.payload = mergePayload(job.payload, patch.payload);
  const delivery = patch.delivery ?? spokenDelivery(patch.payload);
  if (delivery) next.delivery = mergeDelivery(job.delivery, delivery);
  if (next.sessionTarget === "main" && next.delivery?.mode !== "webhook") delete next.delivery;
  if (patch.failureAlert !== undefined) next.failureAlert = patch.failureAlert;
  if (patch.state) next.state = { ...job.state, ...patch.state };
  for (const field of ["agentId", "sessionKey"] as const) {
    if (patch[field]) next[field] = patch[field];
    else if (patch[field] === null) delete next[field];
  }
  return checked("cron.update", next);
}

/** What `every` counts from has to be known for good, or each restart would begin anew. */
function withAnchor(schedule: CronSchedule, now: number): CronSchedule {
  if (schedule.kind === "every") return { ...schedule, anchorMs: schedule.anchorMs ?? now };
  if (schedule.kind !== "cron") return schedule;
  const staggerMs = schedule.staggerMs ?? staggerFor(schedule.expr);
  return { ...schedule, ...(staggerMs !== undefined && { staggerMs }) };
}

function rescheduled({ schedule: before }: CronJob, schedule: CronSchedule, now: number): CronSchedule {
  const kept = schedule.kind === "cron" && before.kind === "cron" ? before.staggerMs : undefined;
  if (schedule.kind !== "cron" || before.kind !== "cron") return withAnchor(schedule, now);
  return { ...(kept !== undefined && { staggerMs: kept }), ...schedule };
}

function mergePayload(before: Payload, patch: PayloadPatch): Payload {
  const merged = { ...(before.kind === patch.kind ? before : {}), ...patch };
  if (merged.kind === "systemEvent") {
    if (merged.text === undefined)
      throw refuse("cron.update", 'cron.update payload.kind="systemEvent" requires text');
    return { kind: "systemEvent", text: merged.text };
  }
  const { toolsAllow, message, ...turn } = merged;
  if (message === undefined)
    throw refuse("cron.update", 'cron.update payload.kind="agentTurn" requires message');
  return { ...turn, message, ...(toolsAllow && { toolsAllow }) };
}

/** A delivery that February's clients wrote into the payload. */
function spokenDelivery(payload: PayloadPatch | undefined): DeliveryPatch | undefined {
  if (payload?.kind !== "agentTurn") return undefined;
  const { deliver, bestEffortDeliver } = payload;
  const to = payload.to?.trim();
  const channel = payload.channel?.trim().toLowerCase();
  if (deliver === undefined && bestEffortDeliver === undefined && !to) return undefined;
  return {
    ...((deliver !== undefined || to) && { mode: deliver === false ? "none" : "announce" }),
    ...(channel && { channel }),
    ...(to && { to }),
    ...(bestEffortDeliver !== undefined && { bestEffort: bestEffortDeliver }),
  };
}

function mergeDelivery(before: CronDelivery | undefined, patch: DeliveryPatch): CronDelivery {
  const merged = { mode: "none" as const, ...before, ...patch };
  if (!merged.to?.trim()) delete merged.to;
  if (!merged.channel?.trim()) delete merged.channel;
  return merged as CronDelivery;
}

/** What the schema cannot say. */
function checked(method: string, job: CronJob): CronJob {
  const { sessionTarget, payload, delivery } = job;
  if (job.name === "") throw refuse(method, "cron job name is required");
  if (sessionTarget === "main" && payload.kind !== "systemEvent")
    throw refuse(method, 'main cron jobs require payload.kind="systemEvent"');
  if (sessionTarget !== "main" && payload.kind !== "agentTurn")
    throw refuse(method, 'isolated cron jobs require payload.kind="agentTurn"');
  if (payload.kind === "agentTurn") checkTurn(method, payload);
  if (delivery?.mode === "webhook" && !isWebAddress(delivery.to))
    throw refuse(method, "cron webhook delivery requires delivery.to to be a valid http(s) URL");
  if (delivery?.mode === "announce" && sessionTarget === "main")
    throw refuse(method, 'cron channel delivery config is only supported for sessionTarget="isolated"');
  const bytes = Buffer.byteLength(JSON.stringify(job));
  if (bytes > maxJobBytes) {
    const advice = "put the text into a file of the workspace and name it in the message";
    throw refuse(method, `the job has ${bytes} bytes, and ${maxJobBytes} can be kept; ${advice}`);
  }
  return job;
}

/** A limit that would not be kept must not be taken. */
function checkTurn(method: string, { toolsAllow, fallbacks }: Extract<Payload, { kind: "agentTurn" }>): void {
  if (toolsAllow)
    throw refuse(
      method,
      "payload.toolsAllow is not supported; limit tools in the configuration (tools.deny)",
    );
  if (fallbacks && fallbacks.length > 0)
    throw refuse(method, "payload.fallbacks is not supported; set agents.defaults.model.fallbacks instead");
}

function isWebAddress(to: string | undefined): boolean {
  const url = to !== undefined && URL.canParse(to.trim()) ? new URL(to.trim()) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:";
}
