import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { answerFlags } from "../answers.ts";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { addPlugin } from "../install.ts";
import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";
import { named, parse, sentence, subcommand } from "../parse.ts";
import { ago, type Cell, printable, printJson, table } from "../print.ts";
import { type Fields, fields, number, rows, text, texts } from "../shape.ts";

const subcommands = ["status", "login", "logout"] as const;

function stateOf(row: Fields): Cell {
  const probe = row["probe"] === undefined ? undefined : fields(row["probe"])["ok"] === true;
  if (row["enabled"] === false) return { text: "off", tint: "dim" };
  if (row["configured"] === false) return { text: "not set up", tint: "yellow" };
  if (probe === false) return { text: "refused", tint: "red" };
  if (row["running"] !== true) return { text: "stopped", tint: "red" };
  if (row["connected"] === false) return { text: "connecting", tint: "yellow" };
  return { text: probe ? "tested" : "running", tint: "green" };
}

function detailOf(channel: string, row: Fields): string {
  if (row["configured"] === false) {
    const account = text(row["accountId"], "default");
    return hint(`rclaw channels login ${channel}${account === "default" ? "" : ` --account ${account}`}`);
  }
  const probe = fields(row["probe"]);
  return (
    text(probe["error"]) ||
    text(row["lastError"]) ||
    text(probe["name"]) ||
    text(row["name"]) ||
    text(row["mode"])
  );
}

async function status(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { probe: { type: "boolean" } });
  named(flags.words, [], "channels status");
  const result = fields(await context.call("channels.status", { probe: flags.flag("probe") }));
  const accounts = Object.entries(fields(result["channelAccounts"])).flatMap(([channel, list]) =>
    rows(list).map((row) => ({ channel, row })),
  );
  const refused = accounts.some(
    ({ row }) => row["probe"] !== undefined && fields(row["probe"])["ok"] !== true,
  );
  if (context.json) printJson(context, result);
  else if (accounts.length === 0) await explainNone(context);
  else {
    const body = accounts.map(({ channel, row }) => [
      channel,
      text(row["accountId"]),
      stateOf(row),
      ago(number(row["lastInboundAt"])),
      ago(number(row["lastOutboundAt"])),
      detailOf(channel, row),
    ]);
    context.out(table(context, ["CHANNEL", "ACCOUNT", "STATE", "LAST IN", "LAST OUT", "DETAIL"], body));
  }
  return refused ? 1 : 0;
}

async function explainNone(context: CommandContext): Promise<void> {
  if (await context.gateway()) {
    context.note(hint("No channel is set up. The chat page and rclaw agent work without one."));
    context.note(hint("Next: rclaw plugin add telegram"));
    return;
  }
  context.note("No gateway runs here, so no channel does.");
  context.note(hint("Next: rclaw gateway"));
}

/** The plugin that brings a channel; most have the same name, but they need not. */
async function pluginOf(context: CommandContext, channel: string): Promise<string> {
  const plugins = rows(fields(await context.call("plugins.list", {}))["plugins"]);
  const channelsOf = (row: Fields): readonly string[] => texts(fields(row["contributes"])["channels"]);
  const owner = plugins.find((row) => channelsOf(row).includes(channel));
  if (owner) return text(owner["id"]);
  const near = didYouMean(channel, plugins.flatMap(channelsOf));
  throw new RclawError(
    "NOT_FOUND",
    `${sentence(`there is no channel "${channel}"${near}`)} See: rclaw plugin list`,
  );
}

async function login(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, answerFlags);
  const { channel } = named(flags.words, ["channel"], "channels login");
  const id = await pluginOf(context, channel);
  const questions = rows(fields(await context.call("plugins.plan", { id }))["questions"]);
  if (!questions.some((question) => question["secret"] === true)) {
    throw new RclawError(
      "INVALID_REQUEST",
      `channel "${channel}" has no credentials to log in with. See: rclaw plugin info ${id}`,
    );
  }
  return addPlugin(context, id, flags, true);
}

async function logout(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { account: { type: "string" }, yes: { type: "boolean" } });
  const { channel } = named(flags.words, ["channel"], "channels logout");
  const accountId = flags.value("account");
  if (!flags.flag("yes") && !(await agrees(context, `Forget the login of ${channel}`))) return 1;
  // Without a gateway no channel runs, and what is stored can be removed all the same.
  const result = fields(
    (await context.gateway())
      ? await context.call("channels.logout", { channel, ...(accountId !== undefined && { accountId }) })
      : await context.call("plugins.logout", {
          channel,
          ...(accountId !== undefined && { account: accountId }),
        }),
  );
  if (context.json) printJson(context, result);
  else if (result["cleared"] === false) {
    const account = text(result["accountId"], "default");
    context.note(
      printable(
        `No login of ${channel} (${account}) is stored. If it is still logged in, its token comes from the environment.`,
      ),
    );
  } else {
    context.note(printable(`Logged out of ${channel} (${text(result["accountId"], "default")}).`));
    context.note(hint(`Next: rclaw channels login ${printable(channel)}`));
  }
  return 0;
}

export async function run(context: CommandContext): Promise<number> {
  const { name, rest } = subcommand(context.args, subcommands, "status");
  return { status, login, logout }[name](context, rest);
}
