import { staggerFor } from "./schedule.ts";
import { timeOf } from "./time.ts";

type Fields = Record<string, unknown>;

/**
 * Models and people write jobs sloppily, and OpenClaw's gateway has always tidied them up before it
 * judged them. What is not understood is left as it is, so that the refusal names it.
 */
export function tidyJob(raw: unknown): unknown {
  const job = tidy(raw);
  if (!job) return raw;
  const schedule = fieldsOf(job["schedule"]);
  const payload = fieldsOf(job["payload"]);
  job["wakeMode"] ??= "now";
  if (typeof job["enabled"] !== "boolean") job["enabled"] = true;
  if (word(job["name"]) !== undefined) job["name"] = word(job["name"]);
  else if (schedule && payload) job["name"] = nameFor(schedule, payload);
  if (job["sessionTarget"] === undefined && payload?.["kind"] === "systemEvent")
    job["sessionTarget"] = "main";
  if (job["sessionTarget"] === undefined && payload?.["kind"] === "agentTurn")
    job["sessionTarget"] = "isolated";
  if (schedule?.["kind"] === "at" && !("deleteAfterRun" in job)) job["deleteAfterRun"] = true;
  if (schedule?.["kind"] === "cron" && typeof schedule["expr"] === "string" && !("staggerMs" in schedule)) {
    const staggerMs = staggerFor(schedule["expr"]);
    if (staggerMs !== undefined) schedule["staggerMs"] = staggerMs;
  }
  const runsApart = job["sessionTarget"] !== "main" && payload?.["kind"] === "agentTurn";
  if (runsApart && job["delivery"] === undefined) job["delivery"] = takeDelivery(payload);
  return job;
}

/** The same for what a job is changed by: nothing is filled in. */
export function tidyPatch(raw: unknown): unknown {
  return tidy(raw) ?? raw;
}

function tidy(raw: unknown): Fields | undefined {
  const given = fieldsOf(raw);
  if (!given) return undefined;
  const job: Fields = { ...(fieldsOf(given["data"]) ?? fieldsOf(given["job"]) ?? given) };
  put(job, "agentId", job["agentId"] === null ? null : agentName(job["agentId"]));
  put(job, "sessionKey", job["sessionKey"] === null ? null : word(job["sessionKey"]));
  if (typeof job["enabled"] === "string") {
    const said = job["enabled"].trim().toLowerCase();
    if (said === "true" || said === "false") job["enabled"] = said === "true";
  }
  const wake = lower(job["wakeMode"]);
  put(job, "wakeMode", wake === "now" || wake === "next-heartbeat" ? wake : undefined);
  const schedule = fieldsOf(job["schedule"]);
  if (schedule) job["schedule"] = tidySchedule(schedule);
  job["payload"] = payloadOf(job);
  if (job["payload"] === undefined) delete job["payload"];
  const delivery = fieldsOf(job["delivery"]);
  if (delivery) job["delivery"] = tidyDelivery(delivery);
  const target = targetOf(job["sessionTarget"], job["sessionKey"]);
  put(job, "sessionTarget", target);
  const payload = fieldsOf(job["payload"]);
  if (payload?.["kind"] === "agentTurn") takeTurnFields(job, payload);
  for (const field of ["isolation", "message", "text", ...turnStrings, ...turnOthers, "provider"])
    delete job[field];
  return job;
}

const turnStrings = ["model", "thinking", "channel", "to"] as const;
const turnOthers = ["timeoutSeconds", "allowUnsafeExternalContent", "deliver", "bestEffortDeliver"] as const;

/** Fields of the turn that were written beside the payload instead of into it. */
function takeTurnFields(job: Fields, payload: Fields): void {
  for (const field of turnStrings) {
    if (word(payload[field]) === undefined && word(job[field]) !== undefined)
      payload[field] = word(job[field]);
  }
  for (const field of turnOthers) {
    const wanted = field === "timeoutSeconds" ? "number" : "boolean";
    if (typeof payload[field] !== wanted && typeof job[field] === wanted) payload[field] = job[field];
  }
}

function payloadOf(job: Fields): unknown {
  const payload = fieldsOf(job["payload"]);
  if (payload) return tidyPayload(payload);
  const message = word(job["message"]);
  if (message !== undefined) return { kind: "agentTurn", message };
  const text = word(job["text"]);
  return text === undefined ? job["payload"] : { kind: "systemEvent", text };
}

function tidySchedule(given: Fields): Fields {
  const schedule: Fields = { ...given };
  const kind = lower(given["kind"]);
  if (kind === "at" || kind === "every" || kind === "cron") schedule["kind"] = kind;
  else if (["string", "number"].includes(typeof given["atMs"]) || typeof given["at"] === "string")
    schedule["kind"] = "at";
  else if (typeof given["everyMs"] === "number") schedule["kind"] = "every";
  else if (typeof given["expr"] === "string") schedule["kind"] = "cron";
  const at = word(given["at"]);
  const atMs = typeof given["atMs"] === "number" ? given["atMs"] : timeOf(word(given["atMs"]) ?? at);
  const iso = atMs === undefined ? undefined : isoOf(atMs);
  if (iso !== undefined || at !== undefined) schedule["at"] = iso ?? at;
  delete schedule["atMs"];
  const staggerMs = typeof given["staggerMs"] === "string" ? Number(given["staggerMs"]) : given["staggerMs"];
  const isNumber = typeof staggerMs === "number" && Number.isFinite(staggerMs) && given["staggerMs"] !== "";
  put(schedule, "staggerMs", isNumber ? Math.max(0, Math.floor(staggerMs)) : undefined);
  return schedule;
}

const kinds: Readonly<Record<string, string>> = { agentturn: "agentTurn", systemevent: "systemEvent" };

function tidyPayload(given: Fields): Fields {
  const payload: Fields = { ...given };
  const channel = lower(given["channel"]) ?? lower(given["provider"]);
  if (channel !== undefined) payload["channel"] = channel;
  delete payload["provider"];
  const said = lower(given["kind"]);
  if (said !== undefined) payload["kind"] = kinds[said] ?? said;
  // A kind that is no word is for the schema to refuse.
  else if (given["kind"]) payload["kind"] = given["kind"];
  else if (word(given["message"]) !== undefined) payload["kind"] = "agentTurn";
  else if (word(given["text"]) !== undefined) payload["kind"] = "systemEvent";
  else if (["model", "thinking", "timeoutSeconds"].some((field) => field in given))
    payload["kind"] = "agentTurn";
  for (const field of ["message", "text"]) {
    if (word(payload[field]) !== undefined) payload[field] = word(payload[field]);
  }
  put(payload, "model", word(payload["model"]));
  put(payload, "thinking", word(payload["thinking"]));
  const seconds = payload["timeoutSeconds"];
  const isNumber = typeof seconds === "number" && Number.isFinite(seconds);
  put(payload, "timeoutSeconds", isNumber ? Math.max(0, Math.floor(seconds)) : undefined);
  if (typeof payload["allowUnsafeExternalContent"] !== "boolean")
    delete payload["allowUnsafeExternalContent"];
  return payload;
}

function tidyDelivery(given: Fields): Fields {
  const delivery: Fields = { ...given };
  const mode = lower(given["mode"]);
  const known = mode === "announce" || mode === "none" || mode === "webhook" ? mode : undefined;
  put(delivery, "mode", mode === "deliver" ? "announce" : known);
  if (typeof given["channel"] === "string") put(delivery, "channel", lower(given["channel"]));
  if (typeof given["to"] === "string") put(delivery, "to", word(given["to"]));
  return delivery;
}

/** What February's clients wrote into the payload becomes the delivery; a turn without any is announced. */
function takeDelivery(payload: Fields): Fields {
  const { deliver, channel, to, bestEffortDeliver } = payload;
  const hasHints =
    typeof deliver === "boolean" || typeof bestEffortDeliver === "boolean" || word(to) !== undefined;
  if (!hasHints) return { mode: "announce" };
  for (const field of ["deliver", "channel", "to", "bestEffortDeliver"]) delete payload[field];
  return {
    mode: deliver === false ? "none" : "announce",
    ...(word(channel) !== undefined && { channel: lower(channel) }),
    ...(word(to) !== undefined && { to: word(to) }),
    ...(typeof bestEffortDeliver === "boolean" && { bestEffort: bestEffortDeliver }),
  };
}

/** The session that is current to whoever adds the job is that session from then on. */
function targetOf(raw: unknown, sessionKey: unknown): string | undefined {
  const target = word(raw);
  if (target === undefined) return undefined;
  const said = target.toLowerCase();
  if (said === "main" || said === "isolated") return said;
  if (said === "current") return typeof sessionKey === "string" ? `session:${sessionKey}` : "isolated";
  return said.startsWith("session:") && target.slice(8).trim() !== ""
    ? `session:${target.slice(8).trim()}`
    : undefined;
}

function nameFor(schedule: Fields, payload: Fields): string {
  const said = payload["kind"] === "agentTurn" ? payload["message"] : payload["text"];
  const line = typeof said === "string" ? said.split("\n").find((part) => part.trim() !== "") : undefined;
  if (line !== undefined) return cut(line.trim(), 60);
  if (schedule["kind"] === "cron" && typeof schedule["expr"] === "string")
    return `Cron: ${cut(schedule["expr"], 52)}`;
  if (schedule["kind"] === "every") return `Every: ${String(schedule["everyMs"])}ms`;
  return schedule["kind"] === "at" ? "One-shot" : "Cron job";
}

function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text
    .slice(0, length - 1)
    .replace(/[\ud800-\udbff]$/, "")
    .trimEnd()}…`;
}

const agentName = (value: unknown): string | undefined => {
  const given = word(value)?.toLowerCase();
  if (given === undefined) return undefined;
  const plain = given.replaceAll(/[^a-z0-9_-]+/g, "-").replaceAll(/^-+|-+$/g, "");
  return plain.slice(0, 64) || "main";
};

function isoOf(at: number): string | undefined {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

const word = (value: unknown): string | undefined =>
  typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;

const lower = (value: unknown): string | undefined => word(value)?.toLowerCase();

/** Only of members that are there: nothing is added. A value of another kind than was wanted is left to the schema. */
function put(fields: Fields, key: string, value: unknown): void {
  if (!(key in fields)) return;
  if (value !== undefined) fields[key] = value;
  else if (key !== "agentId" && key !== "sessionKey") delete fields[key];
  else if (typeof fields[key] === "string") delete fields[key];
}
