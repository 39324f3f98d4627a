import { type Binding, bindingOf, differenceOf, planOf } from "./binding.ts";
import type { Approval, Book, Requester } from "./book.ts";
import { refused, wordsOf } from "./command-line.ts";
import type { ExecRequest } from "./requests.ts";
import { said } from "./text.ts";

type Params = Readonly<Record<string, unknown>>;

export interface SystemRun {
  readonly nodeId: string;
  readonly params: unknown;
  readonly requester: Requester;
}

/** All of a command that a node may be told by a client. What says that it was approved is not among it. */
const forwarded = [
  "command",
  "rawCommand",
  "systemRunPlan",
  "cwd",
  "env",
  "timeoutMs",
  "needsScreenRecording",
  "agentId",
  "sessionKey",
  "runId",
  "suppressNotifyOnExit",
] as const;

/**
 * The params of `system.run` as they may go to a node. "approved" counts only with a decision of
 * a person about these very words on this node, for whoever asked; otherwise a client that may
 * merely write would tell the node that it was allowed.
 */
export function systemRunParams(book: Book<ExecRequest>, run: SystemRun, now: number): unknown {
  const { params: given } = run;
  if (typeof given !== "object" || given === null || Array.isArray(given)) return given;
  const params = given as Params;
  const next = Object.fromEntries(forwarded.flatMap((key) => (key in params ? [[key, params[key]]] : [])));
  const wanted = said(params["approvalDecision"]);
  if (params["approved"] !== true && wanted !== "allow-once" && wanted !== "allow-always") {
    wordsOf({ command: params["command"], rawCommand: params["rawCommand"] });
    return next;
  }
  const runId = said(params["runId"]);
  if (runId === undefined) throw guard("MISSING_RUN_ID", "approval override requires params.runId");
  const approval = approvalFor(book, runId, run, now);
  const bound = boundParams(approval, params);
  const difference =
    approval.request.host === "node" && approval.request.systemRunBindingV1
      ? differenceOf(approval.request.systemRunBindingV1, bound)
      : { message: "approval id does not match request", details: { code: "APPROVAL_REQUEST_MISMATCH" } };
  if (difference) throw refused(difference.message, { ...difference.details, runId });
  const granted = grantOf(book, approval);
  if (!granted) throw guard("APPROVAL_REQUIRED", "approval required", { runId });
  return { ...without(next, bound.removed), ...bound.params, approved: true, approvalDecision: granted };
}

function approvalFor(
  book: Book<ExecRequest>,
  runId: string,
  { nodeId, requester }: SystemRun,
  now: number,
): Approval<ExecRequest> {
  const approval = book.get(runId);
  if (!approval) throw guard("UNKNOWN_APPROVAL_ID", "unknown or expired approval id", { runId });
  if (now > approval.expiresAtMs) throw guard("APPROVAL_EXPIRED", "approval expired", { runId });
  if (approval.request.nodeId === null)
    throw guard("APPROVAL_NODE_BINDING_MISSING", "approval id missing node binding", { runId });
  if (approval.request.nodeId !== nodeId)
    throw guard("APPROVAL_NODE_MISMATCH", "approval id not valid for this node", { runId });
  const asked = approval.requester;
  if (asked.deviceId !== undefined) {
    if (asked.deviceId !== requester.deviceId)
      throw guard("APPROVAL_DEVICE_MISMATCH", "approval id not valid for this device", { runId });
  } else if (
    asked.connId === undefined ? asked.principal !== requester.principal : asked.connId !== requester.connId
  )
    throw guard("APPROVAL_CLIENT_MISMATCH", "approval id not valid for this client", { runId });
  return approval;
}

interface Bound {
  readonly binding: Binding;
  readonly envKeys: readonly string[];
  readonly params: Params;
  readonly removed: readonly string[];
}

/** With a plan the node gets what the plan says, whatever the client says now. */
function boundParams({ request }: Approval<ExecRequest>, params: Params): Bound {
  const plan = planOf(request.systemRunPlan ?? request.systemRunPlanV2 ?? undefined);
  const { env } = params;
  if (!plan) {
    const argv = wordsOf({ command: params["command"], rawCommand: params["rawCommand"] });
    const { cwd, agentId, sessionKey } = params;
    return { ...bindingOf({ argv, cwd, agentId, sessionKey, env }), params: {}, removed: [] };
  }
  const { argv, cwd, agentId, sessionKey, text, isNew, given } = plan;
  const fields = { rawCommand: text, cwd, agentId, sessionKey };
  const set = Object.entries(fields).filter(([, value]) => value !== null);
  return {
    ...bindingOf({ argv, cwd, agentId, sessionKey, env }),
    params: { ...Object.fromEntries(set), command: argv, ...(isNew && { systemRunPlan: given }) },
    removed: Object.keys(fields),
  };
}

/** An answer that came too late is none, and "once" is once. */
function grantOf(
  book: Book<ExecRequest>,
  { id, decision }: Approval<ExecRequest>,
): "allow-always" | "allow-once" | undefined {
  if (decision === "allow-always") return decision;
  return decision === "allow-once" && book.use(id) ? decision : undefined;
}

const without = (params: Params, keys: readonly string[]): Params =>
  Object.fromEntries(Object.entries(params).filter(([key]) => !keys.includes(key)));

const guard = (code: string, message: string, details: Params = {}) => refused(message, { code, ...details });
