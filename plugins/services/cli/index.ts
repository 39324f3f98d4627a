import { type Command, type CommandContext, definePlugin, isRclawError } from "@rclaw/plugin-sdk";
import { hint } from "./hint.ts";
import { isUsageError, sentence } from "./parse.ts";
import { printable, printJson } from "./print.ts";
import { rows, text } from "./shape.ts";
import { type CommandName, usage } from "./usage.ts";

interface CommandModule {
  run(context: CommandContext): Promise<number>;
}

/** Each in a file of its own, read only when it is run. */
const modules: { readonly [Name in CommandName]: () => Promise<CommandModule> } = {
  agent: () => import("./commands/agent.ts"),
  status: () => import("./commands/status.ts"),
  models: () => import("./commands/models.ts"),
  config: () => import("./commands/config.ts"),
  sessions: () => import("./commands/sessions.ts"),
  plugin: () => import("./commands/plugin.ts"),
  channels: () => import("./commands/channels.ts"),
  cron: () => import("./commands/cron.ts"),
  pairing: () => import("./commands/pairing.ts"),
  devices: () => import("./commands/devices.ts"),
  logs: () => import("./commands/logs.ts"),
  methods: () => import("./commands/methods.ts"),
};

interface Problem {
  readonly code: string;
  readonly message: string;
  readonly exit: number;
}

/** Over the socket an error keeps the protocol's code, and ours stands in its details. */
function problemOf(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  if (isUsageError(error)) return { code: "INVALID_REQUEST", message, exit: 2 };
  const code = isRclawError(error) ? text(error.details?.["code"], error.code) : "UNAVAILABLE";
  const issues = isRclawError(error) ? rows(error.details?.["issues"]) : [];
  const listed = issues.map((issue) => `${text(issue["path"], "(root)")}: ${text(issue["message"])}`);
  const full = listed.length > 0 ? `${message}: ${listed.join("; ")}` : message;
  return { code, message: full, exit: code === "GATEWAY_UNREACHABLE" ? 3 : 1 };
}

function report(context: CommandContext, name: CommandName, error: unknown): number {
  const { code, message: plain, exit } = problemOf(error);
  const message = context.json ? plain : hint(plain);
  if (context.json) printJson(context, { error: { code, message } });
  else if (exit === 2) context.note(hint(`rclaw: ${printable(sentence(message))} See: rclaw ${name} --help`));
  else context.note(`rclaw: ${printable(message)} [${code}]`);
  if (context.verbose && error instanceof Error && error.cause instanceof Error) {
    context.note(`cause: ${printable(error.cause.message)}`);
  }
  return context.signal.aborted ? 130 : exit;
}

function command(name: CommandName): Command {
  return {
    name,
    usage: usage[name],
    async run(context) {
      if (context.args.includes("--help") || context.args.includes("-h")) {
        context.out(usage[name]);
        return 0;
      }
      try {
        const { run } = await modules[name]();
        return await run(context);
      } catch (error) {
        return report(context, name, error);
      }
    },
  };
}

/** The everyday commands: clients of the gateway's methods, with a terminal at the other end. */
export default definePlugin({
  activate(ctx) {
    for (const name of Object.keys(usage) as CommandName[]) ctx.commands.register(command(name));
  },
});
