import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { coversScope } from "@rclaw/plugin-sdk/services/devices";
import { type Approval, type Book, type Decision, decisions, type Requester } from "./book.ts";
import { refused } from "./command-line.ts";
import type { RulesFile } from "./file.ts";
import {
  execRequestParams,
  getParams,
  listParams,
  noParams,
  pluginRequestParams,
  resolveParams,
  setParams,
  systemRunParams as systemRunParamsSchema,
  waitParams,
} from "./methods.schema.ts";
import { type ExecRequest, execRequestOf, sourceOf } from "./requests.ts";
import { systemRunParams } from "./system-run.ts";
import { plainly, plainlyOrNull, said } from "./text.ts";

export interface PluginRequest {
  readonly allowedDecisions?: readonly Decision[];
  readonly [field: string]: unknown;
}

export interface ApprovalMethodsOptions {
  readonly gateway: PluginContext["gateway"];
  readonly exec: Book<ExecRequest>;
  readonly plugin: Book<PluginRequest>;
  readonly file: RulesFile;
  now(): number;
}

const defaultTimeoutMs = 120_000;

/** `exec.approval.*`, `exec.approvals.*` and `plugin.approval.*` of the gateway protocol. */
export function approvalMethods(options: ApprovalMethodsOptions): readonly Method[] {
  return [...execMethods(options), ...pluginMethods(options), ...fileMethods(options)];
}

function execMethods({ gateway, exec, now }: ApprovalMethodsOptions): Method[] {
  return [
    defineMethod({
      name: "exec.approval.request",
      since: "2026.2.17",
      params: execRequestParams,
      async handle({ params, caller, accept, signal }) {
        const request = execRequestOf({ params });
        const id = said(params.id);
        if (id?.startsWith("plugin:")) throw refused("approval ids starting with plugin: are reserved");
        const timeoutMs = params.timeoutMs ?? defaultTimeoutMs;
        const approval = exec.open(request, { timeoutMs, requester: requesterOf(caller), id });
        gateway.broadcast("exec.approval.requested", shown(approval), { dropIfSlow: true });
        return answered(approval, {
          book: exec,
          hasApprover: approvers(gateway).length > 0,
          ...(params.twoPhase && { accept }),
          ...(caller.kind === "plugin" && { signal }),
        });
      },
    }),
    waitMethod("exec.approval.waitDecision", "2026.2.17", exec),
    defineMethod({
      name: "exec.approval.resolve",
      since: "2026.2.17",
      params: resolveParams,
      async handle({ params, caller }) {
        requirePerson(caller);
        const decision = decisionOf(params.decision);
        const approval = exec.get(params.id);
        const { allowedDecisions } = approval?.request ?? {};
        if (allowedDecisions && !allowedDecisions.includes(decision))
          throw refused("allow-always is unavailable for this command", {
            reason: "APPROVAL_ALLOW_ALWAYS_UNAVAILABLE",
          });
        if (!approval || !exec.decide(params.id, decision)) throw refused("unknown approval id");
        const event = resolvedEvent(approval, decision, caller, now());
        gateway.broadcast("exec.approval.resolved", event, { dropIfSlow: true });
        return { ok: true };
      },
    }),
    defineMethod({
      name: "exec.approval.get",
      since: "2026.5.7",
      params: getParams,
      async handle({ params }) {
        const approval = exec.get(params.id);
        if (!approval || approval.decision !== undefined) throw unknown();
        const { command, allowedDecisions, host, nodeId, agentId } = approval.request;
        return {
          id: approval.id,
          commandText: command,
          commandPreview: null,
          allowedDecisions: allowedDecisions ?? decisions,
          host,
          nodeId,
          agentId,
          expiresAtMs: approval.expiresAtMs,
        };
      },
    }),
    listMethod("exec.approval.list", exec),
    defineMethod({
      name: "approvals.systemRun",
      since: "rclaw",
      params: systemRunParamsSchema,
      async handle({ params, caller }) {
        // Only the part of the gateway that talks to nodes: it says truly who asks.
        if (caller.kind !== "plugin")
          throw new RclawError("PERMISSION_DENIED", "approvals.systemRun is for the gateway's own parts");
        return { params: systemRunParams(exec, { params: undefined, ...params }, now()) };
      },
    }),
  ];
}

function pluginMethods({ gateway, plugin, now }: ApprovalMethodsOptions): Method[] {
  /** To approvers alone: it may hold what other clients must not see. */
  const tell = (event: string, payload: unknown): void => {
    for (const connId of approvers(gateway)) gateway.send(connId, event, payload);
  };
  return [
    defineMethod({
      name: "plugin.approval.request",
      since: "2026.5.7",
      params: pluginRequestParams,
      async handle({ params, caller, accept, signal }) {
        const { severity, toolCallId, allowedDecisions, sessionKey } = params;
        const request: PluginRequest = {
          pluginId: plainlyOrNull(params.pluginId),
          title: plainly(params.title),
          description: plainly(params.description),
          ...(said(params.detail) !== undefined && {
            detail: plainlyOrNull(params.detail)?.slice(0, 16_384),
          }),
          severity: severity ?? null,
          toolName: plainlyOrNull(params.toolName),
          toolCallId: toolCallId ?? null,
          ...(allowedDecisions && { allowedDecisions: [...new Set(allowedDecisions)] }),
          agentId: plainlyOrNull(params.agentId),
          sessionKey: said(sessionKey) ?? null,
          ...sourceOf(params),
        };
        const timeoutMs = params.timeoutMs ?? defaultTimeoutMs;
        const requester = requesterOf(caller);
        const approval = plugin.open(request, { timeoutMs, requester, id: undefined });
        tell("plugin.approval.requested", shown(approval));
        return answered(approval, {
          book: plugin,
          hasApprover: approvers(gateway).length > 0,
          ...(params.twoPhase && { accept }),
          ...(caller.kind === "plugin" && { signal }),
        });
      },
    }),
    waitMethod("plugin.approval.waitDecision", "2026.5.7", plugin),
    defineMethod({
      name: "plugin.approval.resolve",
      since: "2026.5.7",
      params: resolveParams,
      async handle({ params, caller }) {
        requirePerson(caller);
        const decision = decisionOf(params.decision);
        const approval = plugin.get(params.id);
        if (!approval || approval.decision !== undefined) throw unknown();
        const allowedDecisions = approval.request.allowedDecisions ?? decisions;
        if (!allowedDecisions.includes(decision))
          throw refused(`${decision} is unavailable for this plugin approval`, { allowedDecisions });
        plugin.decide(params.id, decision);
        tell("plugin.approval.resolved", resolvedEvent(approval, decision, caller, now()));
        return { ok: true };
      },
    }),
    listMethod("plugin.approval.list", plugin),
  ];
}

function fileMethods({ file }: ApprovalMethodsOptions): Method[] {
  return [
    defineMethod({
      name: "exec.approvals.get",
      since: "2026.2.17",
      params: noParams,
      handle: () => file.get(),
    }),
    defineMethod({
      name: "exec.approvals.set",
      since: "2026.2.17",
      params: setParams,
      async handle({ params, caller }) {
        requirePerson(caller);
        return file.set(params.file, params.baseHash);
      },
    }),
  ];
}

function waitMethod<Request>(name: string, since: string, book: Book<Request>): Method {
  return defineMethod({
    name,
    since,
    params: waitParams,
    async handle({ params }) {
      const id = said(params.id);
      if (id === undefined) throw refused("id is required");
      const approval = book.get(id);
      if (!approval) throw refused("approval expired or not found");
      return outcome(approval);
    },
  });
}

function listMethod<Request>(name: string, book: Book<Request>): Method {
  return defineMethod({
    name,
    since: "2026.5.7",
    params: listParams,
    handle: async () => book.waiting().map(shown),
  });
}

/** Waits for the decision; with nobody there to decide, that is "no" at once. */
async function answered<Request>(
  approval: Approval<Request>,
  options: {
    book: Book<Request>;
    hasApprover: boolean;
    accept?: (payload: unknown) => void;
    /** Of somebody who will not come back for the answer, as a client does after its connection broke. */
    signal?: AbortSignal;
  },
): Promise<unknown> {
  const { id, createdAtMs, expiresAtMs } = approval;
  if (!options.hasApprover) options.book.decide(id, null);
  options.accept?.({ status: "accepted", id, createdAtMs, expiresAtMs });
  const withdraw = (): void => void options.book.decide(id, null);
  options.signal?.addEventListener("abort", withdraw, { once: true });
  try {
    return await outcome(approval);
  } finally {
    options.signal?.removeEventListener("abort", withdraw);
  }
}

async function outcome({ id, decided, createdAtMs, expiresAtMs }: Approval<unknown>): Promise<unknown> {
  return { id, decision: await decided, createdAtMs, expiresAtMs };
}

const shown = <Request>({ id, request, createdAtMs, expiresAtMs }: Approval<Request>) => ({
  id,
  request,
  createdAtMs,
  expiresAtMs,
});

function resolvedEvent(
  { id, request }: Approval<unknown>,
  decision: Decision,
  { client, kind }: Caller,
  ts: number,
): unknown {
  return { id, decision, resolvedBy: client?.id ?? (kind === "command" ? "cli" : null), ts, request };
}

function decisionOf(given: string): Decision {
  const decision = decisions.find((known) => known === given);
  if (!decision) throw refused("invalid decision");
  return decision;
}

const requesterOf = ({ principal, deviceId, connId }: Caller): Requester => ({ principal, deviceId, connId });

/** Connections of those who may decide. */
const approvers = (gateway: PluginContext["gateway"]): readonly string[] =>
  gateway
    .clients()
    .filter(
      ({ caller: { role, scopes } }) => role === "operator" && coversScope(scopes, "operator.approvals"),
    )
    .flatMap(({ caller: { connId } }) => (connId === undefined ? [] : [connId]));

/** A plugin that may call methods must not say yes to itself, nor may the model through one. */
function requirePerson({ kind, isOwner }: Caller): void {
  if (kind !== "plugin" && isOwner) return;
  throw new RclawError(
    "PERMISSION_DENIED",
    "only the owner decides about approvals: use rclaw's command line or a client of the operator",
  );
}

const unknown = (): RclawError =>
  refused("unknown or expired approval id", {
    reason: "APPROVAL_NOT_FOUND",
    remediation:
      "Ask again: what waits for approval is forgotten when it expires, and when the gateway restarts.",
  });
