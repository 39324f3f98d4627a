import { refused } from "./answers.ts";

/**
 * The agent has its own tools, and no call of one can be handed to the client. A list of tools that
 * the model may use is one it need not use; one that it must use would be a promise nobody keeps.
 */
export function refuseForcedTools({ tool_choice: choice }: Readonly<Record<string, unknown>>): void {
  if (choice === undefined || choice === null || choice === "auto" || choice === "none") return;
  throw refused(
    "Invalid tools/tool_choice: the assistant calls its own tools and cannot call the client's; leave tool_choice out",
  );
}
