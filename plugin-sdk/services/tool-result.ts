import type { ToolResult } from "../tool.ts";

const maxContent = 4_194_304;
const maxDetails = 262_144;

/**
 * A tool's answer as plain data of a bearable size: it will be sent, stored and shown, and none of
 * that may fail because of it. Throws when there is no answer.
 */
export function plainResult(result: ToolResult): ToolResult {
  const { content, isError, details } = (result ?? {}) as Partial<ToolResult>;
  if (typeof content !== "string") throw new TypeError("returned no content");
  const text =
    content.length > maxContent
      ? `${content.slice(0, maxContent)}\n[${content.length - maxContent} more characters were dropped]`
      : content;
  return {
    content: text,
    ...(isError === true && { isError }),
    ...(details !== undefined && { details: plainDetails(details) }),
  };
}

function plainDetails(details: unknown): unknown {
  try {
    const text = JSON.stringify(details) ?? "null";
    if (text.length <= maxDetails) return JSON.parse(text);
    return { dropped: `${text.length} characters of details; at most ${maxDetails} are kept` };
  } catch (error) {
    return { dropped: `details that are no JSON: ${(error as Error).message}` };
  }
}
