import { RclawError } from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { type Binding, bindingOf, type Plan, planOf } from "./binding.ts";
import { asLine, refused, wordsOf } from "./command-line.ts";
import { plainly, plainlyOrNull, said } from "./text.ts";

/** What a person is shown, and what their answer is bound to. Member names are the protocol's. */
export interface ExecRequest {
  readonly command: string;
  readonly commandArgv?: readonly string[];
  readonly envKeys?: readonly string[];
  readonly systemRunBindingV1: Binding | null;
  readonly systemRunPlanV2: Plan["given"] | null;
  readonly systemRunBinding?: Binding;
  readonly systemRunPlan?: Plan["given"];
  readonly warningText?: string;
  readonly allowedDecisions?: readonly string[];
  readonly cwd: string | null;
  readonly nodeId: string | null;
  readonly host: string | null;
  readonly security: unknown;
  readonly ask: unknown;
  readonly agentId: string | null;
  readonly resolvedPath: string | null;
  readonly sessionKey: string | null;
  readonly turnSourceChannel: string | null;
  readonly turnSourceTo: string | null;
  readonly turnSourceAccountId: string | null;
  readonly turnSourceThreadId: unknown;
}

export type ExecParams = Readonly<Record<string, unknown>> & { readonly id?: string };

const maxShown = 16_384;
const maxRequest = 262_144;

/** What `exec.approval.request` asks for, checked and bound. */
export function execRequestOf({ params }: Pick<MethodCall<ExecParams>, "params">): ExecRequest {
  const host = said(params["host"]) ?? "";
  const nodeId = said(params["nodeId"]) ?? "";
  const isOnNode = host === "node";
  const plan = isOnNode ? planOf(params["systemRunPlan"] ?? params["systemRunPlanV2"]) : undefined;
  const given = Array.isArray(params["commandArgv"]) ? params["commandArgv"].map(String) : [];
  const argv = plan?.argv ?? (given.length > 0 ? given : undefined);
  const text = plan
    ? (plan.text ?? asLine(plan.argv))
    : typeof params["command"] === "string"
      ? params["command"]
      : "";
  const where = {
    cwd: plan?.cwd ?? said(params["cwd"]) ?? null,
    agentId: plan?.agentId ?? said(params["agentId"]) ?? null,
    sessionKey: plan?.sessionKey ?? said(params["sessionKey"]) ?? null,
  };
  if (isOnNode && nodeId === "") throw refused("nodeId is required for host=node");
  if (isOnNode && !argv) throw refused("commandArgv is required for host=node");
  if (text === "")
    throw refused("invalid exec.approval.request params: must have required property 'command'");
  const shown = plainly(isOnNode && argv ? honestLine(text, argv) : text);
  // Cut off, it would hide its end from whoever allows it.
  if (shown.length > maxShown)
    throw refused("command exceeds exec approval display limit", {
      reason: "EXEC_APPROVAL_COMMAND_DISPLAY_LIMIT",
    });
  const bound = isOnNode && argv ? bindingOf({ argv, ...where, env: params["env"] }) : undefined;
  const request: ExecRequest = {
    command: shown,
    ...(argv && { commandArgv: argv }),
    ...(bound && bound.envKeys.length > 0 && { envKeys: bound.envKeys }),
    systemRunBindingV1: bound?.binding ?? null,
    systemRunPlanV2: plan && !plan.isNew ? plan.given : null,
    ...(plan?.isNew && bound && { systemRunBinding: bound.binding, systemRunPlan: plan.given }),
    ...extras(params),
    ...where,
    nodeId: isOnNode ? nodeId : null,
    host: host === "" ? null : plainly(host),
    security: params["security"] ?? null,
    ask: params["ask"] ?? null,
    resolvedPath: plainlyOrNull(params["resolvedPath"]),
    ...sourceOf(params),
  };
  // A thousand of them may wait, and each one goes to every client that may decide.
  if (JSON.stringify(request).length > maxRequest)
    throw new RclawError(
      "TOO_LARGE",
      "a command that waits for approval may take 256 KiB; put it into a file",
    );
  return request;
}

/** What was said about a command, where it is what will run; else what will run. */
function honestLine(text: string, argv: readonly string[]): string {
  try {
    wordsOf({ command: argv, rawCommand: text });
    return text;
  } catch {
    return asLine(argv);
  }
}

/** Members that only protocol 4 knows: there when somebody used them. */
function extras(params: ExecParams): Pick<ExecRequest, "warningText" | "allowedDecisions"> {
  const warning = said(params["warningText"]);
  const without = params["unavailableDecisions"];
  return {
    ...(warning !== undefined && { warningText: plainly(warning).slice(0, maxShown) }),
    ...(Array.isArray(without) && {
      allowedDecisions: ["allow-once", "allow-always", "deny"].filter(
        (decision) => decision === "deny" || !without.includes(decision),
      ),
    }),
  };
}

export const sourceOf = (params: ExecParams) => ({
  turnSourceChannel: said(params["turnSourceChannel"]) ?? null,
  turnSourceTo: said(params["turnSourceTo"]) ?? null,
  turnSourceAccountId: said(params["turnSourceAccountId"]) ?? null,
  turnSourceThreadId: params["turnSourceThreadId"] ?? null,
});
