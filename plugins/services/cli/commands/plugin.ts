import { type CommandContext, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { answerFlags } from "../answers.ts";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { addPlugin } from "../install.ts";
import { named, parse, subcommand } from "../parse.ts";
import { type Colour, facts, oneLine, printable, printJson, table } from "../print.ts";
import { type Fields, fields, isFields, number, rows, text, texts } from "../shape.ts";

const subcommands = [
  "list",
  "info",
  "add",
  "enable",
  "disable",
  "reload",
  "remove",
  "update",
  "rollback",
  "search",
  "verify",
  "pack",
  "ci",
  "new",
  "build",
  "test",
  "dev",
  "trust",
  "isolate",
  "panic",
  "top",
  "logs",
  "doctor",
  "approvals",
  "allow",
  "deny",
] as const;
/** Loaded when one of them is typed. */
const store = () => import("./plugin-store.ts");
const trusting = () => import("./plugin-trust.ts");
const approvals = () => import("./plugin-approvals.ts");
type Run = (context: CommandContext, args: readonly string[]) => Promise<number>;
const others: { readonly [name: string]: () => Promise<Run> } = {
  new: async () => (await import("./plugin-new.ts")).run,
  build: async () => (await import("./plugin-build.ts")).run,
  test: async () => (await import("./plugin-test.ts")).run,
  dev: async () => (await import("./plugin-dev.ts")).run,
  trust: async () => (await trusting()).trust,
  isolate: async () => (await trusting()).isolate,
  panic: async () => (await trusting()).panic,
  top: async () => (await import("./plugin-top.ts")).run,
  logs: async () => (await import("./plugin-logs.ts")).run,
  doctor: async () => (await import("./plugin-doctor.ts")).run,
  approvals: async () => (await approvals()).list,
  allow: async () => (context, args) => approvals().then(({ answer }) => answer(context, "allow", args)),
  deny: async () => (context, args) => approvals().then(({ answer }) => answer(context, "deny", args)),
};

const tints: Readonly<Record<string, Colour>> = {
  active: "green",
  failed: "red",
  disabled: "dim",
  activating: "yellow",
};

/** `channel telegram, tool read`: what a manifest's `contributes` comes to. */
function contributions(value: unknown): string {
  return Object.entries(fields(value))
    .flatMap(([kind, names]) => {
      const list = Array.isArray(names)
        ? names.map((name) => (isFields(name) ? text(name["name"]) : String(name)))
        : Object.keys(fields(names));
      return list.map((name) => `${kind.replace(/s$/, "")} ${name}`);
    })
    .join(", ");
}

/** `hook message_sent failed: no network (3 failures)`: what went wrong while it ran on. */
/** An entry that says more than a name: its members, as they stand in the manifest. */
function wordsOf(entry: unknown): string {
  if (typeof entry === "string") return entry;
  return Object.entries(fields(entry))
    .map(([key, value]) => (/^(?:host|name)$/.test(key) ? text(value) : `${key} ${texts(value).join(" ")}`))
    .join(" ");
}

function troubleOf(row: Fields): string {
  const { where, error, count } = fields(row["trouble"]);
  const times = number(count) ?? 0;
  return times === 0
    ? ""
    : `${text(where)} failed: ${text(error)} (${times} ${times === 1 ? "failure" : "failures"})`;
}

const milliseconds = (value: unknown): string =>
  number(value) === undefined ? "" : `${Math.round(number(value) ?? 0)} ms`;

async function list(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { timings: { type: "boolean" } });
  named(flags.words, [], "plugin list");
  const result = fields(await context.call("plugins.list", {}));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const plugins = rows(result["plugins"]).toSorted((a, b) => text(a["id"]).localeCompare(text(b["id"])));
  const withTimings = flags.flag("timings");
  const body = plugins.map((row) => {
    const state = text(row["state"], row["enabled"] === false ? "disabled" : "inactive");
    const tint = tints[state];
    const times = fields(row["timings"]);
    return [
      text(row["id"]),
      { text: state, ...(tint && { tint }) },
      text(row["runtime"]),
      ...(withTimings ? [milliseconds(times["importMs"]), milliseconds(times["activateMs"])] : []),
      text(row["error"]) || troubleOf(row) || text(row["description"]),
    ];
  });
  const timings = withTimings ? ["IMPORT", "START"] : [];
  context.out(table(context, ["ID", "STATE", "RUNS", ...timings, "WHAT IT IS"], body));
  for (const row of plugins) {
    const conflicts = texts(row["conflicts"]);
    if (conflicts.length > 0)
      context.note(printable(`${text(row["id"])}: conflicts with ${conflicts.join(", ")}`));
  }
  for (const row of rows(result["refused"]))
    context.note(printable(`Not taken: ${text(row["id"])}: ${text(row["reason"])}`));
  return 0;
}

async function info(context: CommandContext, args: readonly string[]): Promise<number> {
  const { id } = named(parse(args, {}).words, ["id"], "plugin info");
  const result = fields(await context.call("plugins.info", { id }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const times = fields(result["timings"]);
  const permissions = Object.entries(fields(result["permissions"])).map(
    ([kind, value]) => `${kind}: ${Array.isArray(value) ? value.map(wordsOf).join(", ") : String(value)}`,
  );
  const pairs: readonly (readonly [string, string])[] = [
    ["Id", text(result["id"])],
    ["Name", `${text(result["name"])} ${text(result["version"])}`.trim()],
    ["What it is", text(result["description"])],
    ["State", [text(result["state"]), text(result["error"])].filter(Boolean).join(": ")],
    ["Trouble", troubleOf(result)],
    ["Next", hint(text(result["next"]))],
    ["Runs", `${text(result["runtime"])}${result["builtIn"] === true ? ", built in" : ", installed"}`],
    ["Adds", contributions(result["contributes"])],
    ["May", permissions.length > 0 ? permissions.join("; ") : "nothing beyond that"],
    ["Config", text(result["configPath"])],
    [
      "Started in",
      times["importMs"] === undefined
        ? ""
        : `${milliseconds(times["importMs"])} import, ${milliseconds(times["activateMs"])} start`,
    ],
  ];
  context.out(
    facts(
      context,
      pairs.filter(([, value]) => value !== ""),
    ),
  );
  return 0;
}

async function planOf(context: CommandContext, id: string): Promise<Fields | undefined> {
  try {
    return fields(await context.call("plugins.plan", { id }));
  } catch (error) {
    // Over the socket the code that matters travels in the details.
    const code = isRclawError(error) ? (error.details?.["code"] ?? error.code) : undefined;
    if (code !== "NOT_FOUND" || !isRclawError(error)) throw error;
    // A slip of the finger must not fetch whatever somebody has published under that name.
    if (!error.message.includes("did you mean")) return undefined;
    throw new RclawError("NOT_FOUND", `${error.message}. A package of that name: rclaw plugin add npm:${id}`);
  }
}

async function add(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, {
    ...answerFlags,
    yes: { type: "boolean" },
    accept: { type: "string", multiple: true },
  });
  const { source } = named(flags.words, ["source"], "plugin add");
  const { bring, isSource } = await store();
  // What is here already goes before a package of the same name.
  const plan = isSource(source) ? undefined : await planOf(context, source);
  return plan ? addPlugin(context, source, flags, false, plan) : bring(context, { source }, flags);
}

const changes = {
  enable: { method: "plugins.enable", next: (id: string) => `rclaw plugin info ${id}` },
  disable: { method: "plugins.disable", next: (id: string) => `rclaw plugin enable ${id}` },
  reload: { method: "plugins.reload", next: (id: string) => `rclaw plugin info ${id}` },
  remove: { method: "plugins.remove", next: (id: string) => `rclaw plugin add ${id}` },
} as const;

/** `plugin reload` alone: the plugins folder is looked at again. */
async function rescan(context: CommandContext): Promise<number> {
  const result = fields(await context.call("plugins.reload", {}));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const groups = [
    ["New", texts(result["added"])],
    ["Gone", texts(result["removed"])],
    ["Changed", texts(result["changed"])],
  ] as const;
  for (const [label, ids] of groups)
    if (ids.length > 0) context.note(printable(`${label}: ${ids.join(", ")}.`));
  if (groups.every(([, ids]) => ids.length === 0)) context.note("Nothing changed in the plugins folder.");
  for (const row of rows(result["refused"]))
    context.note(printable(`Not taken: ${text(row["id"])}: ${text(row["reason"])}`));
  const [first] = texts(result["added"]);
  context.note(
    hint(printable(`Next: ${first === undefined ? "rclaw plugin list" : `rclaw plugin add ${first}`}`)),
  );
  return 0;
}

async function change(
  context: CommandContext,
  name: keyof typeof changes,
  args: readonly string[],
): Promise<number> {
  const flags = parse(args, name === "remove" ? { yes: { type: "boolean" } } : {});
  if (name === "reload" && flags.words.length === 0) return rescan(context);
  const { id } = named(flags.words, ["id"], `plugin ${name}`);
  if (
    name === "remove" &&
    !flags.flag("yes") &&
    !(await agrees(context, `Remove ${id} with its settings, secrets and storage`))
  )
    return 1;
  const { method, next } = changes[name];
  const result: Fields = fields(await context.call(method, { id }));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  if (text(result["state"]) === "removed") {
    context.note(printable(`${id} is gone, with its settings, secrets and storage.`));
    return 0;
  }
  const done = { enable: "enabled", disable: "disabled", reload: "reloaded", remove: "removed" }[name];
  const state = text(result["state"]);
  const now =
    state === "inactive"
      ? "; it starts when it is needed"
      : state === done || state === ""
        ? ""
        : ` and now ${oneLine(state, 40)}`;
  context.note(printable(`${id} is ${done}${now}.`));
  context.note(hint(`${name === "enable" || name === "reload" ? "See" : "To undo"}: ${printable(next(id))}`));
  return state === "failed" ? 1 : 0;
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "list");
  if (name === "list") return list(context, rest);
  if (name === "info") return info(context, rest);
  if (name === "add") return add(context, rest);
  if (name === "update") return (await store()).update(context, rest);
  if (name === "rollback") return (await store()).rollback(context, rest);
  if (name === "search") return (await store()).search(context, rest);
  if (name === "verify") return (await store()).verify(context, rest);
  if (name === "pack") return (await store()).pack(context, rest);
  if (name === "ci") return (await store()).ci(context, rest);
  const other = others[name];
  if (other) return (await other())(context, rest);
  return change(context, name as keyof typeof changes, rest);
}
