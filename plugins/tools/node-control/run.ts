import { randomUUID } from "node:crypto";
import type { ToolContext } from "@rclaw/plugin-sdk";

type Fields = Readonly<Record<string, unknown>>;

export interface RunOptions {
  readonly nodeId: string;
  /** Older nodes run what they are given. */
  readonly canPrepare: boolean;
  readonly params: {
    readonly command: readonly string[];
    readonly cwd?: string | undefined;
    readonly env?: Readonly<Record<string, string>> | undefined;
    readonly timeoutMs?: number | undefined;
  };
  readonly context: Pick<ToolContext, "agentId" | "sessionKey" | "channel" | "signal">;
  call(method: string, params: Fields): Promise<unknown>;
  invoke(command: string, params: Fields): Promise<unknown>;
}

/**
 * Runs a program on a node. The node first says what exactly it would run; when its own rules
 * want somebody's consent, the owner is asked about that, and the node is asked again.
 */
export async function runOnNode(options: RunOptions): Promise<unknown> {
  const { nodeId, canPrepare, params, context, call, invoke } = options;
  const { agentId, sessionKey, channel } = context;
  const { command, cwd, env, timeoutMs } = params;
  const wanted = { command, ...(cwd !== undefined && { cwd }), agentId, sessionKey };
  const prepared = canPrepare ? await invoke("system.run.prepare", wanted) : {};
  const { plan, cmdText } = prepared as { plan?: Fields; cmdText?: unknown };
  const argv = Array.isArray(plan?.["argv"]) ? plan["argv"].map(String) : command;
  const isNew = plan !== undefined && plan["version"] === undefined;
  const run = {
    ...wanted,
    ...ofPlan(plan),
    command: argv,
    ...(isNew && { systemRunPlan: plan }),
    ...(env && { env }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
  try {
    return await invoke("system.run", run);
  } catch (error) {
    if (!/SYSTEM_RUN_DENIED: approval required/.test((error as Error).message)) throw error;
  }
  const id = randomUUID();
  const { decision } = (await call("exec.approval.request", {
    id,
    command: typeof cmdText === "string" && cmdText !== "" ? cmdText : command.join(" "),
    commandArgv: argv,
    ...(plan && { [isNew ? "systemRunPlan" : "systemRunPlanV2"]: plan }),
    ...(env && { env }),
    cwd: plan?.["cwd"] ?? cwd ?? null,
    nodeId,
    host: "node",
    agentId,
    sessionKey,
    turnSourceChannel: channel ?? null,
  })) as { decision: string | null };
  if (decision === null) throw new Error("nobody answered in time whether this may run");
  if (decision === "deny") throw new Error("the owner does not allow this command");
  return invoke("system.run", { ...run, runId: id, approved: true, approvalDecision: decision });
}

/** What the node has decided about the command, in place of what was asked for. */
function ofPlan(plan: Fields | undefined): Fields {
  if (!plan) return {};
  const { cwd, agentId, sessionKey } = plan;
  const fields = { cwd, agentId, sessionKey, rawCommand: plan["commandText"] ?? plan["rawCommand"] };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => typeof value === "string"));
}
