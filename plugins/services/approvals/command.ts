import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { printable } from "@rclaw/plugin-sdk/printable";

interface Waiting {
  readonly id: string;
  readonly expiresAtMs: number;
  readonly request: Readonly<Record<string, unknown>>;
}

/** `rclaw approvals`: what waits for the owner, and the owner's answer. */
export async function run(context: CommandContext): Promise<number> {
  const [name = "list", ...rest] = context.args;
  const words = rest.filter((word) => !word.startsWith("--"));
  const flags = rest.filter((word) => word.startsWith("--"));
  const unknown = flags.find((flag) => flag !== "--always" || name !== "allow");
  if (unknown !== undefined) throw misused(`unknown flag ${unknown}`);
  if (name === "list") return list(context);
  if (name === "get") return get(context);
  if (name !== "allow" && name !== "deny") throw misused(`unknown subcommand "${name}"`);
  const [id, extra] = words;
  if (id === undefined || extra !== undefined) throw misused(`approvals ${name} needs one <id>`);
  return decide(context, id, name === "deny" ? "deny" : flags.length > 0 ? "allow-always" : "allow-once");
}

async function list(context: CommandContext): Promise<number> {
  const waiting = await all(context);
  if (context.json) context.out(`${JSON.stringify(waiting, null, 2)}\n`);
  else if (waiting.length === 0) context.note("Nothing waits for an answer.");
  for (const item of context.json ? [] : waiting) {
    const seconds = Math.max(0, Math.round((item.expiresAtMs - Date.now()) / 1_000));
    context.out(`${printable(item.id)}  ${whatOf(item)}  (${seconds} s left)\n`);
  }
  if (!context.json && waiting[0])
    context.note(`Next: rclaw approvals allow ${printable(waiting[0].id.slice(0, 8))}`);
  return 0;
}

async function decide(context: CommandContext, start: string, decision: string): Promise<number> {
  const found = (await all(context)).filter(({ id }) => id.startsWith(start));
  const [only, second] = found;
  if (!only) throw new RclawError("NOT_FOUND", `nothing that waits has an id that starts with "${start}"`);
  if (second) throw misused(`"${start}" is the start of ${found.length} ids; give more of it`);
  const kind = only.id.startsWith("plugin:") ? "plugin" : "exec";
  const answer = await context.call(`${kind}.approval.resolve`, { id: only.id, decision });
  if (context.json) context.out(`${JSON.stringify(answer)}\n`);
  else context.note(`${decision === "deny" ? "Denied" : "Allowed"}: ${whatOf(only)}`);
  return 0;
}

async function get(context: CommandContext): Promise<number> {
  const answer = await context.call("exec.approvals.get");
  const { file } = answer as { file: unknown };
  context.out(`${JSON.stringify(context.json ? answer : file, null, 2)}\n`);
  return 0;
}

async function all(context: CommandContext): Promise<readonly Waiting[]> {
  const lists = await Promise.all(
    ["exec.approval.list", "plugin.approval.list"].map((method) => context.call(method)),
  );
  return (lists as (readonly Waiting[])[]).flat();
}

function whatOf({ request }: Waiting): string {
  const { command, title, host, nodeId, pluginId } = request;
  const where = nodeId ?? host ?? pluginId;
  return `${printable(command ?? title, 500)}${typeof where === "string" ? ` on ${printable(where)}` : ""}`;
}

const misused = (message: string): RclawError =>
  new RclawError("INVALID_REQUEST", `${message}; see: rclaw approvals --help`);
