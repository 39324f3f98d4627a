import { isRclawError } from "@rclaw/plugin-sdk";
import type { PolicyGate } from "../pipeline.ts";

/**
 * Refuses a call whose path leaves the workspace, before the tool sees it. The
 * tool opens files through `ToolContext.files`, which checks again as it opens:
 * this gate is for the reason people read, that one is the wall.
 */
export function sandboxGate(checkPath: (root: string, path: string) => Promise<string>): PolicyGate {
  return {
    name: "sandbox",
    async check(call) {
      for (const field of call.tool.paths ?? []) {
        const value = call.params[field];
        if (value === undefined) continue;
        if (typeof value !== "string") return `${call.tool.name}: "${field}" must be a path`;
        try {
          await checkPath(call.place.workspace, value);
        } catch (error) {
          if (!isRclawError(error)) throw error;
          return `${error.message} [${error.code}]`;
        }
      }
      return call;
    },
  };
}
