import { randomUUID } from "node:crypto";
import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { printable } from "@rclaw/plugin-sdk/printable";

interface Row {
  readonly nodeId: string;
  readonly displayName?: string;
  readonly platform?: string;
  readonly version?: string;
  readonly commands: readonly string[];
  readonly connected: boolean;
}

/** `rclaw nodes`: what is there, and what it can be asked for. */
export async function run(context: CommandContext): Promise<number> {
  const [name = "list", ...words] = context.args;
  if (name === "list") return list(context);
  if (name === "describe") return describe(context, words);
  if (name === "invoke") return invoke(context, words);
  if (name === "rename") return rename(context, words);
  throw misused(`unknown subcommand "${name}"`);
}

async function list(context: CommandContext): Promise<number> {
  const nodes = await all(context);
  if (context.json) context.out(`${JSON.stringify(nodes, null, 2)}\n`);
  else if (nodes.length === 0)
    context.note("No node is paired. On the other machine: openclaw node run --host <this machine>");
  for (const node of context.json ? [] : nodes) {
    const state = node.connected ? "connected" : "away     ";
    const can = node.connected ? `, ${node.commands.length} commands` : "";
    context.out(
      `${state}  ${nameOf(node)}  ${printable(node.platform)}${can}  ${node.nodeId.slice(0, 12)}\n`,
    );
  }
  return 0;
}

async function describe(context: CommandContext, [which, extra]: readonly string[]): Promise<number> {
  if (which === undefined || extra !== undefined) throw misused("nodes describe needs one <node>");
  const { nodeId } = await find(context, which);
  const node = (await context.call("node.describe", { nodeId })) as Row;
  if (context.json) context.out(`${JSON.stringify(node, null, 2)}\n`);
  else {
    const lines = [
      ["Node", nameOf(node)],
      ["Id", printable(node.nodeId)],
      ["State", node.connected ? "connected" : "away"],
      [
        "Platform",
        [node.platform, node.version]
          .map((part) => printable(part))
          .join(" ")
          .trim(),
      ],
      ["Commands", node.commands.map((command) => printable(command)).join(", ") || "none"],
    ] as const;
    for (const [label, value] of lines) context.out(`${label.padEnd(9)} ${value}\n`);
  }
  return 0;
}

async function invoke(context: CommandContext, words: readonly string[]): Promise<number> {
  const at = words.indexOf("--timeout");
  const timeout = at < 0 ? undefined : Number(words[at + 1]);
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout > 0))
    throw misused("--timeout needs milliseconds");
  const [which, command, json, extra] = at < 0 ? words : words.toSpliced(at, 2);
  if (which === undefined || command === undefined || extra !== undefined)
    throw misused("nodes invoke needs <node> and <command>, and takes JSON as its params");
  const { nodeId } = await find(context, which);
  const answer = await context.call("node.invoke", {
    nodeId,
    command,
    ...(json !== undefined && { params: parsed(json) }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    idempotencyKey: randomUUID(),
  });
  const { payload = null } = answer as { payload?: unknown };
  context.out(`${JSON.stringify(context.json ? answer : payload, null, 2)}\n`);
  return 0;
}

async function rename(context: CommandContext, [which, name, extra]: readonly string[]): Promise<number> {
  if (which === undefined || name === undefined || extra !== undefined)
    throw misused("nodes rename needs <node> and <name>");
  const nodeId = await pairedId(context, which);
  const answer = await context.call("node.rename", { nodeId, displayName: name });
  if (context.json) context.out(`${JSON.stringify(answer)}\n`);
  else context.note(`${printable(which)} is now called ${printable(name)}.`);
  return 0;
}

async function all(context: CommandContext): Promise<readonly Row[]> {
  return ((await context.call("node.list")) as { nodes: readonly Row[] }).nodes;
}

async function find(context: CommandContext, which: string): Promise<Row> {
  return only(await all(context), which);
}

/** Only what was paired with node.pair has a name of the gateway's giving. */
async function pairedId(context: CommandContext, which: string): Promise<string> {
  const { paired } = (await context.call("node.pair.list")) as { paired: readonly Row[] };
  return only(paired, which).nodeId;
}

function only<Node extends Pick<Row, "nodeId" | "displayName">>(nodes: readonly Node[], which: string): Node {
  const exact = nodes.find(({ nodeId }) => nodeId === which);
  const found = nodes.filter(
    ({ nodeId, displayName = "" }) =>
      displayName.toLowerCase() === which.toLowerCase() || (which.length >= 6 && nodeId.startsWith(which)),
  );
  const node = exact ?? found[0];
  if (!node) throw new RclawError("NOT_FOUND", `there is no node "${which}"; see: rclaw nodes list`);
  if (!exact && found.length > 1)
    throw misused(`"${which}" may be ${found.length} nodes; give more of the id`);
  return node;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw misused(`the params are no JSON: ${json}`);
  }
}

const nameOf = ({ displayName, nodeId }: Row): string => printable(displayName ?? nodeId.slice(0, 12));

const misused = (message: string): RclawError =>
  new RclawError("INVALID_REQUEST", `${message}; see: rclaw nodes --help`);
