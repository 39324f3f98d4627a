import type { CommandContext } from "@rclaw/plugin-sdk";
import { hint } from "../hint.ts";
import { named, parse } from "../parse.ts";
import { ago, facts, painter, printable, printJson } from "../print.ts";
import { type Fields, fields, number, rows, text } from "../shape.ts";

interface Findings {
  readonly gateway: { readonly url: string; readonly pid?: number } | undefined;
  readonly status: Fields;
  readonly model: Fields;
  readonly config: Fields;
  readonly plugins: readonly Fields[];
  readonly sessions: Fields;
  readonly problems: readonly string[];
}

/** Everything is asked for, and what cannot be had is itself a finding: status has to work when things do not. */
async function gather(context: CommandContext): Promise<Findings> {
  const problems: string[] = [];
  const ask = async (method: string, params: object, what: string): Promise<Fields> => {
    try {
      return fields(await context.call(method, params));
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return {};
    }
  };
  const gateway = await context.gateway();
  const config = await ask("config.get", {}, "configuration");
  // First: without a gateway it opens the store, and until then nobody knows how many there are.
  const sessions = await ask("sessions.list", { limit: 5, includeDerivedTitles: true }, "sessions");
  const [status, model, list] = await Promise.all([
    ask("status", {}, "status"),
    ask("models.default", {}, "model"),
    ask("plugins.list", {}, "plugins"),
  ]);
  const plugins = rows(list["plugins"]);
  return {
    gateway,
    status,
    model,
    config,
    plugins,
    sessions,
    problems: [...problems, ...known(status, config, plugins)],
  };
}

/** What the gateway itself says is not well. */
function known(status: Fields, config: Fields, plugins: readonly Fields[]): string[] {
  const { source, issues } = fields(status["config"]);
  const store = fields(status["store"]);
  const line = (row: Fields): string => `${text(row["path"], "(root)")}: ${text(row["message"])}`;
  const wrong = rows(config["issues"]).length > 0 ? rows(config["issues"]) : rows(issues);
  return [
    ...(source === "last-known-good"
      ? ["configuration: the file is broken, so the last good one is in use; correct it: rclaw config show"]
      : []),
    ...wrong.map((row) => `configuration: ${line(row)}`),
    ...rows(config["warnings"]).map((row) => `configuration: ${line(row)}`),
    ...(store["status"] === "degraded"
      ? [`sessions: nothing can be stored: ${text(store["reason"], "unknown reason")}`]
      : []),
    ...((number(store["quarantined"]) ?? 0) > 0
      ? [`sessions: ${number(store["quarantined"])} damaged lines were set aside`]
      : []),
    ...plugins
      .filter((row) => row["state"] === "failed")
      .map(
        (row) =>
          `plugin ${text(row["id"])}: ${text(row["error"], "failed")}; try again: rclaw plugin reload ${text(row["id"])}`,
      ),
  ];
}

function sourceOf(status: Fields, config: Fields): string {
  const source =
    text(fields(status["config"])["source"]) || (config["exists"] === false ? "defaults" : "file");
  return (
    { "last-known-good": "last good copy", defaults: "built-in defaults" }[source] ?? text(config["path"])
  );
}

function placeOf({ url, pid }: { readonly url: string; readonly pid?: number }): string {
  return pid === undefined ? `${url} (gateway.mode is "remote")` : `running at ${url} (process ${pid})`;
}

function modelLine(model: Fields): string {
  const name = [text(model["provider"]), text(model["model"])].filter(Boolean).join("/");
  if (name === "") return "none";
  return text(model["reason"]) ? `${name} (${text(model["reason"])})` : name;
}

function pluginLine(plugins: readonly Fields[]): string {
  const count = (state: string): number => plugins.filter((row) => row["state"] === state).length;
  const parts = (["active", "inactive", "disabled", "failed"] as const).map(
    (state) => [state, count(state)] as const,
  );
  return parts
    .filter(([, amount]) => amount > 0)
    .map(([state, amount]) => `${amount} ${state === "inactive" ? "ready when needed" : state}`)
    .join(", ");
}

export async function run(context: CommandContext): Promise<number> {
  named(parse(context.args, {}).words, [], "status");
  const { gateway, status, model, config, plugins, sessions, problems } = await gather(context);
  const channels = Array.isArray(status["channelSummary"]) ? status["channelSummary"].map(String) : [];
  const count = number(fields(status["sessions"])["count"]) ?? rows(sessions["sessions"]).length;
  if (context.json) {
    printJson(context, {
      gateway: gateway ? { running: true, ...gateway } : { running: false },
      model,
      config: {
        path: config["path"],
        source: text(fields(status["config"])["source"], "file"),
        issues: config["issues"],
        warnings: config["warnings"],
      },
      channels,
      sessions: { count, recent: sessions["sessions"] },
      plugins: plugins.map(({ id, state, error }) => ({ id, state, ...(error !== undefined && { error }) })),
      problems,
    });
    return 0;
  }
  const latest = rows(sessions["sessions"])[0];
  const pairs: readonly (readonly [string, string])[] = [
    ["Gateway", gateway ? placeOf(gateway) : "not running"],
    ["Model", modelLine(model)],
    ["Config", sourceOf(status, config)],
    ["Channels", channels.length > 0 ? channels.join("; ") : gateway ? "none" : "start with the gateway"],
    [
      "Sessions",
      `${count}${latest ? `, last ${text(latest["key"])} ${ago(number(latest["updatedAt"]))}` : ""}`,
    ],
    ["Plugins", pluginLine(plugins)],
  ];
  context.out(facts(context, pairs));
  const paint = painter(context);
  if (problems.length > 0)
    context.out(
      `\n${paint("yellow", "Not well")}\n${problems.map((problem) => `  ${printable(hint(problem))}\n`).join("")}`,
    );
  if (!gateway) context.note(hint("Next: rclaw gateway"));
  return 0;
}
