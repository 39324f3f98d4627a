import {
  isRclawError,
  type Logger,
  RclawError,
  type Tool,
  type ToolContext,
  type ToolResult,
} from "@rclaw/plugin-sdk";
import { deadline, untilAborted } from "@rclaw/plugin-sdk/services/in-time";
import type { HookBus } from "../hooks/bus.ts";
import { compiler, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { plainResult } from "@rclaw/plugin-sdk/services/tool-result";

/** Where a tool is called from: everything a gate may decide by, besides the params. */
export type Place = Omit<ToolContext, "signal" | "files" | "onUpdate">;

export interface ToolCall {
  readonly tool: Tool;
  /** The plugin that offers the tool. */
  readonly plugin: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly place: Place;
}

/**
 * One gate of the pipeline. Both functions are pure but for reading the disk:
 * a string refuses, and that string is what the model and the operator read.
 */
export interface PolicyGate {
  readonly name: string;
  /** Decides by name and place alone, so that a refused tool is not even offered to the model. */
  offer?(
    tool: string,
    plugin: string,
    place: Pick<Place, "sessionKey" | "agentId" | "isOwner"> & { channel?: string },
  ): string | undefined;
  /** Passes the call on, changed or not, or refuses it. */
  check?(call: ToolCall): Promise<ToolCall | string>;
}

export interface Decision {
  readonly gate: string;
  readonly outcome: "pass" | "changed" | "refused";
  readonly reason?: string;
}

export interface PolicyOptions {
  /** Order is the policy: profile, allow/deny, agent, group, sandbox, before_tool_call. */
  readonly gates: readonly PolicyGate[];
  readonly hooks: HookBus;
  readonly log: Logger;
  now?(): number;
}

const defaultTimeoutMs = 120_000;

export type Policy = ReturnType<typeof createPolicy>;

export function createPolicy({ gates, hooks, log, now = () => performance.now() }: PolicyOptions) {
  const check = compiler();

  function validate({ tool, params }: ToolCall): void {
    const rule = check(tool.params);
    if (rule.valid(params)) return;
    throw new RclawError(
      "INVALID_REQUEST",
      `invalid ${tool.name} params: ${describeIssues(rule.issues(params))}`,
      {
        details: { tool: tool.name },
      },
    );
  }

  async function pass(call: ToolCall, through: readonly PolicyGate[], trace: Decision[]): Promise<ToolCall> {
    let current = call;
    for (const [index, gate] of through.entries()) {
      const { tool, plugin, place } = current;
      const verdict = gate.offer?.(tool.name, plugin, place) ?? (await gate.check?.(current)) ?? current;
      if (typeof verdict === "string") {
        trace.push({ gate: gate.name, outcome: "refused", reason: verdict });
        throw denied(tool.name, verdict, trace);
      }
      trace.push({ gate: gate.name, outcome: verdict === current ? "pass" : "changed" });
      if (verdict === current) continue;
      // Whoever changed the call may have moved it past a gate it had to pass.
      validate(verdict);
      current = await pass(verdict, through.slice(0, index), trace);
    }
    return current;
  }

  async function execute(
    { tool, plugin, params, place }: ToolCall,
    rest: Pick<ToolContext, "files" | "onUpdate">,
    signal: AbortSignal,
  ): Promise<ToolResult> {
    const limit = tool.timeoutMs ?? defaultTimeoutMs;
    const stop = new AbortController();
    const signals = AbortSignal.any([signal, stop.signal]);
    try {
      signal.throwIfAborted();
      const run = tool.execute(params, { ...place, ...rest, signal: signals });
      const inTime = limit > 0 ? deadline(run, limit, `tool ${tool.name} of plugin "${plugin}"`) : run;
      return plainResult(await untilAborted(inTime, signal, `tool ${tool.name}`));
    } catch (error) {
      if (isRclawError(error)) throw error;
      if (signal.aborted) throw new RclawError("ABORTED", `tool ${tool.name} was stopped`, { cause: error });
      log.error({ err: error, plugin, tool: tool.name, runId: place.runId }, `tool ${tool.name} failed`);
      throw new RclawError(
        "PLUGIN_FAILED",
        `tool ${tool.name} of plugin "${plugin}" failed; the gateway's log says why`,
        {
          cause: error,
          details: { plugin, tool: tool.name },
        },
      );
    } finally {
      // A tool that overran its time is told to stop, so that nothing goes on unseen.
      stop.abort();
    }
  }

  return {
    /** Why this tool is not offered here, or undefined when it is. */
    refusal(
      tool: string,
      plugin: string,
      place: Parameters<NonNullable<PolicyGate["offer"]>>[2],
    ): string | undefined {
      for (const gate of gates) {
        const reason = gate.offer?.(tool, plugin, place);
        if (reason) return reason;
      }
      return undefined;
    },

    /** Throws what `refusal` says: a tool that is not offered need not be brought to life to be refused. */
    admit(tool: string, plugin: string, place: Parameters<NonNullable<PolicyGate["offer"]>>[2]): void {
      const trace: Decision[] = [];
      for (const { name, offer } of gates) {
        const reason = offer?.(tool, plugin, place);
        if (offer)
          trace.push(reason ? { gate: name, outcome: "refused", reason } : { gate: name, outcome: "pass" });
        if (reason) throw denied(tool, reason, trace);
      }
    },

    /** The only way to run a tool: nothing else in the product calls `execute`. */
    async callTool(
      call: ToolCall,
      rest: Pick<ToolContext, "files" | "onUpdate">,
      signal: AbortSignal,
    ): Promise<ToolResult> {
      const trace: Decision[] = [];
      const place = {
        sessionKey: call.place.sessionKey,
        agentId: call.place.agentId,
        toolName: call.tool.name,
      };
      validate(call);
      const allowed = await pass(call, gates, trace);
      const startedAt = now();
      const report = (outcome: { result?: unknown; error?: string }): Promise<unknown> =>
        hooks.run(
          "after_tool_call",
          { toolName: call.tool.name, params: allowed.params, ...outcome, durationMs: now() - startedAt },
          place,
        );
      try {
        const result = await execute(allowed, rest, signal);
        await report({ result: { ...result } });
        return { ...result, details: { ...asRecord(result.details), policy: trace } };
      } catch (error) {
        await report({ error: (error as Error).message });
        if (!isRclawError(error)) throw error;
        const { code, message, cause, retryable, details } = error;
        throw new RclawError(code, message, { cause, retryable, details: { ...details, policy: trace } });
      }
    },
  };
}

function denied(tool: string, reason: string, trace: readonly Decision[]): RclawError {
  const details = { gate: trace.at(-1)?.gate, tool, policy: [...trace] };
  return new RclawError("POLICY_DENIED", reason, { details });
}

function asRecord(details: unknown): Record<string, unknown> {
  if (details === undefined) return {};
  return typeof details === "object" && details !== null && !Array.isArray(details)
    ? { ...details }
    : { value: details };
}
