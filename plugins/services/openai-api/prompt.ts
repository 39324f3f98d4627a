export interface Entry {
  readonly role: "user" | "assistant" | "tool";
  readonly sender: string;
  readonly body: string;
}

const historyMark = "[Chat messages since your last reply - for context]";
const currentMark = "[Current message - respond to this]";

/**
 * A client sends its whole history every time, and a session has its own. What came before the
 * last message is shown as what was said; the last of a person or a tool is what is asked.
 */
export function messageOf(entries: readonly Entry[]): string {
  const last = entries.findLastIndex(({ role }) => role !== "assistant");
  const at = last === -1 ? entries.length - 1 : last;
  const current = entries[at];
  if (!current) return "";
  const before = entries.slice(0, at);
  if (before.length === 0) return current.body;
  const line = ({ sender, body }: Entry): string => `${sender}: ${body}`;
  return [historyMark, ...before.map(line), "", currentMark, line(current)].join("\n");
}

/** The text in a message's content, whichever of the API's spellings it has. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content.trim();
  if (!Array.isArray(content)) return "";
  const texts = content.map((part: unknown) => {
    const { type, text, input_text: input } = (part ?? {}) as Record<string, unknown>;
    if (typeof text === "string" && /^(?:input_|output_)?text$/.test(String(type))) return text;
    return typeof input === "string" ? input : "";
  });
  return texts.filter(Boolean).join("\n").trim();
}
