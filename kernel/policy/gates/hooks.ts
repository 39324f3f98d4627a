import { isRclawError } from "@rclaw/plugin-sdk";
import { type HookBus, isGuardFailure } from "../../hooks/bus.ts";
import type { PolicyGate } from "../pipeline.ts";

/** `before_tool_call`: plugins may change the params or block the call. A guard that fails blocks it. */
export function hooksGate(hooks: HookBus): PolicyGate {
  return {
    name: "before_tool_call",
    async check(call) {
      const { sessionKey, agentId } = call.place;
      try {
        const { params, block, blockReason } = await hooks.run(
          "before_tool_call",
          {
            toolName: call.tool.name,
            // A copy for whoever listens: a change counts when it is answered, and only then is it checked again.
            get params() {
              return structuredClone(call.params);
            },
          },
          { sessionKey, agentId, toolName: call.tool.name },
        );
        if (block) return blockReason ?? `a plugin blocked ${call.tool.name}`;
        return params ? { ...call, params } : call;
      } catch (error) {
        if (isRclawError(error) && isGuardFailure(error)) return error.message;
        throw error;
      }
    },
  };
}
