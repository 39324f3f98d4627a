import type { CommandContext } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { count, named, parse, type Parsed, subcommand, UsageError } from "../parse.ts";
import { ago, type Cell, oneLine, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";

const subcommands = ["list", "status", "add", "run", "runs", "enable", "disable", "remove"] as const;

const units: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function duration(given: string): number | undefined {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(given.trim().toLowerCase()) ?? [];
  const ms = Math.floor(Number(amount) * (units[unit] ?? Number.NaN));
  return ms > 0 ? ms : undefined;
}

/** `90 s`, `15 min`, `3 h`, `2 d`: in the largest unit that leaves nothing over. */
function span(ms: number): string {
  for (const [unit, size] of [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1_000],
  ] as const)
    if (ms % size === 0) return `${ms / size} ${unit}`;
  return `${ms} ms`;
}

function until(at: number | undefined): string {
  if (at === undefined) return "-";
  const seconds = Math.round((at - Date.now()) / 1_000);
  if (seconds < 60) return seconds < 0 ? "due" : "within a minute";
  if (seconds < 3_600) return `in ${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `in ${Math.floor(seconds / 3_600)} h` : `in ${Math.floor(seconds / 86_400)} d`;
}

function scheduleOf({ kind, at, everyMs, expr, tz }: Fields): string {
  if (kind === "at") return `at ${text(at).slice(0, 16).replace("T", " ")} UTC`;
  if (kind === "every") return `every ${span(number(everyMs) ?? 0)}`;
  return `${text(expr)}${typeof tz === "string" && tz !== "" ? ` (${tz})` : ""}`;
}

const tints = { ok: "green", error: "red", skipped: "yellow" } as const;

function statusOf(job: Fields): Cell {
  const state = fields(job["state"]);
  if (job["enabled"] === false) return { text: "off", tint: "dim" };
  if (number(state["runningAtMs"]) !== undefined) return { text: "running", tint: "cyan" };
  const last = text(state["lastStatus"]);
  const tint = tints[last as keyof typeof tints] as (typeof tints)[keyof typeof tints] | undefined;
  return { text: last || "new", ...(tint && { tint }) };
}

async function allJobs(context: CommandContext): Promise<readonly Fields[]> {
  return rows(fields(await context.call("cron.list", { includeDisabled: true, limit: 200 }))["jobs"]);
}

/** A job by its id, by the beginning of it as tables show it, or by its name. */
async function find(context: CommandContext, given: string): Promise<string> {
  const jobs = await allJobs(context);
  const ids = jobs.filter(({ id }) => text(id) === given || text(id).startsWith(given));
  const found = ids.length > 0 ? ids : jobs.filter(({ name }) => text(name) === given);
  if (found.length > 1) throw new UsageError(`"${given}" may be ${found.length} jobs; write more of the id`);
  return text(found[0]?.["id"], given);
}

async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { all: { type: "boolean" } });
  named(flags.words, [], "cron list");
  const result = fields(await context.call("cron.list", { includeDisabled: flags.flag("all"), limit: 200 }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const jobs = rows(result["jobs"]);
  if (jobs.length === 0) {
    context.note(flags.flag("all") ? "There are no jobs." : "There are no jobs that are on.");
    context.note(hint('Next: rclaw cron add --every 1d --message "what is new?"'));
    return 0;
  }
  const body = jobs.map((job) => {
    const state = fields(job["state"]);
    return [
      text(job["id"]).slice(0, 8),
      oneLine(text(job["name"]), 40),
      scheduleOf(fields(job["schedule"])),
      job["enabled"] === false ? "-" : until(number(state["nextRunAtMs"])),
      ago(number(state["lastRunAtMs"])),
      statusOf(job),
    ];
  });
  context.out(table(context, ["ID", "NAME", "WHEN", "NEXT", "LAST", "STATUS"], body));
  return 0;
}

async function status(context: CommandContext, args: readonly string[]): Promise<number> {
  named(parse(args, {}).words, [], "cron status");
  const result = fields(await context.call("cron.status"));
  if (context.json) printJson(context, result);
  else {
    const next = number(result["nextWakeAtMs"]);
    context.out(
      `${String(result["jobs"])} jobs${next === undefined ? "" : `, the next one ${until(next)}`}. They stand in ${printable(text(result["storePath"]))}\n`,
    );
    warnWhenOff(context, result);
  }
  return 0;
}

function warnWhenOff(context: CommandContext, result: Fields): void {
  if (result["enabled"] === true) return;
  context.note(hint("No job runs by itself now: start the gateway, and see: rclaw config get cron.enabled"));
}

const addFlags = {
  name: { type: "string" },
  at: { type: "string" },
  every: { type: "string" },
  cron: { type: "string" },
  tz: { type: "string" },
  exact: { type: "boolean" },
  message: { type: "string", short: "m" },
  "system-event": { type: "string" },
  session: { type: "string" },
  agent: { type: "string" },
  wake: { type: "string" },
  model: { type: "string" },
  thinking: { type: "string" },
  timeout: { type: "string" },
  channel: { type: "string" },
  to: { type: "string" },
  account: { type: "string" },
  "no-deliver": { type: "boolean" },
  keep: { type: "boolean" },
  off: { type: "boolean" },
} as const;

/** Exactly one of these flags, with what was given. */
function oneOf<Name extends string>(flags: Parsed, names: readonly Name[]): readonly [Name, string] {
  const given = names.flatMap((name) => {
    const value = flags.value(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const [first] = given;
  if (first && given.length === 1) return first;
  throw new UsageError(`cron add needs one of ${names.map((name) => `--${name}`).join(", ")}`);
}

function schedule(flags: Parsed): Fields {
  const [kind, value] = oneOf(flags, ["at", "every", "cron"]);
  const ms = duration(value);
  if (kind === "at") return { kind, at: ms === undefined ? value : new Date(Date.now() + ms).toISOString() };
  if (kind === "every") {
    if (ms === undefined) throw new UsageError(`--every needs a time such as 30m, 2h or 1d, not "${value}"`);
    return { kind, everyMs: ms };
  }
  return { kind, expr: value, ...picked(flags, "tz"), ...(flags.flag("exact") && { staggerMs: 0 }) };
}

const picked = (flags: Parsed, name: string, as = name): Fields => {
  const value = flags.value(name);
  return value === undefined ? {} : { [as]: value };
};

function job(flags: Parsed): Fields {
  const when = schedule(flags);
  const [kind, words] = oneOf(flags, ["message", "system-event"]);
  const isTurn = kind === "message";
  const turn = { ...picked(flags, "model"), ...picked(flags, "thinking") };
  const address = {
    ...picked(flags, "channel"),
    ...picked(flags, "to"),
    ...picked(flags, "account", "accountId"),
  };
  if (!isTurn && Object.keys({ ...turn, ...address }).length > 0)
    throw new UsageError("--model, --thinking, --channel, --to and --account go with --message only");
  const mode = flags.flag("no-deliver") ? "none" : "announce";
  return {
    ...picked(flags, "name"),
    ...picked(flags, "agent", "agentId"),
    schedule: when,
    ...picked(flags, "session", "sessionTarget"),
    ...picked(flags, "wake", "wakeMode"),
    payload: isTurn
      ? {
          kind: "agentTurn",
          message: words,
          ...turn,
          ...(flags.value("timeout") !== undefined && { timeoutSeconds: count(flags, "timeout", 0) }),
        }
      : { kind: "systemEvent", text: words },
    ...(isTurn && { delivery: { mode, ...address } }),
    ...(flags.flag("keep") && { deleteAfterRun: false }),
    ...(flags.flag("off") && { enabled: false }),
  };
}

async function add(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, addFlags);
  named(flags.words, [], "cron add");
  const added = fields(await context.call("cron.add", job(flags)));
  if (context.json) {
    printJson(context, added);
    return 0;
  }
  const next = number(fields(added["state"])["nextRunAtMs"]);
  const when = next === undefined ? "is off" : `runs ${until(next)}`;
  context.note(printable(`${text(added["name"])} ${when}. Its id is ${text(added["id"])}.`));
  warnWhenOff(context, fields(await context.call("cron.status")));
  return 0;
}

async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { due: { type: "boolean" } });
  const id = await find(context, named(flags.words, ["id"], "cron run").id);
  const result = fields(await context.call("cron.run", { id, mode: flags.flag("due") ? "due" : "force" }));
  const ran = result["ran"] === true;
  if (context.json) {
    printJson(context, result);
    return ran ? 0 : 1;
  }
  if (!ran) {
    context.note(result["reason"] === "not-due" ? "It is not due." : "It runs already.");
    return 1;
  }
  const [last] = rows(fields(await context.call("cron.runs", { id, limit: 1 }))["entries"]);
  const summary = text(last?.["summary"]);
  if (summary !== "") context.out(`${printable(summary)}\n`);
  if (last?.["status"] === "ok") return 0;
  context.note(printable(`It failed: ${text(last?.["error"], "the log does not say why")}`));
  return 1;
}

async function runs(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { limit: { type: "string" } });
  if (flags.words.length > 1)
    throw new UsageError(`cron runs takes one job at most, and "${flags.words[1]}" is a second word`);
  const [word] = flags.words;
  const limit = Math.min(200, count(flags, "limit", 30));
  const which = word === undefined ? {} : { id: await find(context, word) };
  const result = fields(await context.call("cron.runs", { ...which, limit }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const entries = rows(result["entries"]);
  if (entries.length === 0) context.note("No job has run yet.");
  else
    context.out(
      table(
        context,
        ["JOB", "WHEN", "TOOK", "STATUS", "DELIVERY", "RESULT"],
        entries.map((entry) => [
          text(entry["jobId"]).slice(0, 8),
          ago(number(entry["ts"])),
          `${((number(entry["durationMs"]) ?? 0) / 1_000).toFixed(1)} s`,
          entry["status"] === "error" ? { text: "error", tint: "red" } : text(entry["status"]),
          text(entry["deliveryStatus"]),
          oneLine(text(entry["error"]) || text(entry["summary"]), 80),
        ]),
      ),
    );
  return 0;
}

const toggle =
  (enabled: boolean) =>
  async (context: CommandContext, args: readonly string[]): Promise<number> => {
    const { id } = named(parse(args, {}).words, ["id"], enabled ? "cron enable" : "cron disable");
    const patch = { enabled };
    const changed = fields(await context.call("cron.update", { id: await find(context, id), patch }));
    if (context.json) printJson(context, changed);
    else {
      const when = enabled ? `on, and runs ${until(number(fields(changed["state"])["nextRunAtMs"]))}` : "off";
      context.note(printable(`${text(changed["name"])} is ${when}.`));
    }
    return 0;
  };

async function remove(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { yes: { type: "boolean" } });
  const word = named(flags.words, ["id"], "cron remove").id;
  const id = await find(context, word);
  if (!flags.flag("yes") && !(await agrees(context, `Remove job ${word}`))) return 1;
  const result = fields(await context.call("cron.remove", { id }));
  if (context.json) printJson(context, result);
  else if (result["removed"] !== true)
    context.note(hint(printable(`There is no job ${word}. See: rclaw cron list --all`)));
  else context.note("It is removed.");
  return result["removed"] === true ? 0 : 1;
}

const actions = { list, status, add, run, runs, enable: toggle(true), disable: toggle(false), remove };

async function command(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "list");
  return actions[name](context, rest);
}

export { command as run };
