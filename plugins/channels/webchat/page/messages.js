import { resultText } from "./tools.js";

// The gateway writes the time a message came in front of it, for the model's sake.
export const stamp = /^(?:System: [^\n]*\n+)*\[[A-Z][a-z]{2} \d{4}-\d{2}-\d{2} \d{2}:\d{2}[^\]\n]{0,20}\] /;

const blocksOf = ({ content }) =>
  typeof content === "string" ? [{ type: "text", text: content }] : Array.isArray(content) ? content : [];

/** The plain text of a message of the protocol. */
export function textOf(message) {
  if (typeof message?.text === "string") return message.text;
  return blocksOf(message ?? {})
    .filter((block) => block?.type === "text" && typeof block.text === "string")
    .map((block) => block.text)
    .join("\n\n");
}

const userText = (message) => textOf(message).replace(stamp, "");

function* assistantParts(message) {
  for (const block of blocksOf(message)) {
    if (block?.type === "text" && block.text) yield { kind: "text", text: String(block.text) };
    else if (block?.type === "toolCall") {
      yield { kind: "tool", id: String(block.id), name: String(block.name), args: block.arguments };
    }
  }
  if (message.stopReason === "aborted" || message.openclawAbort?.aborted)
    yield { kind: "note", text: "Stopped." };
  else if (message.stopReason === "error")
    yield { kind: "error", text: String(message.errorMessage ?? "The answer failed.") };
}

/**
 * A history in the order people read it: what was said, and each answer with the tool
 * calls it took, their results put where the calls are.
 */
export function turnsOf(messages) {
  const turns = [];
  const answer = (unfinished) => {
    if (turns.at(-1)?.who !== "assistant") turns.push({ who: "assistant", parts: [] });
    // After a call or its result there is more to come, unless somebody stopped it there.
    turns.at(-1).unfinished = unfinished;
    return turns.at(-1).parts;
  };
  for (const message of messages) {
    if (message?.role === "user") {
      turns.push({ who: "user", text: userText(message), at: message.timestamp });
    } else if (message?.role === "toolResult") {
      answer(true).push({
        kind: "result",
        id: String(message.toolCallId),
        name: message.toolName,
        text: resultText(message),
        isError: message.isError === true,
      });
    } else if (message?.role === "assistant") {
      // A stopped answer stands there twice: as far as it was shown, and as far as it came.
      const parts = answer(message.stopReason === "toolUse");
      const said = (part) =>
        part.kind === "text" && parts.some(({ text }) => text?.trim() === part.text.trim());
      parts.push(
        ...[...assistantParts(message)].filter((part) => message.stopReason !== "aborted" || !said(part)),
      );
    }
  }
  return turns.filter(({ who, parts }) => who === "user" || parts.length > 0);
}

const reasons = {
  rate_limit: "The model's provider asks for fewer requests. Wait a little and send it again.",
  timeout: "The model took too long. Send it again, or ask for less at once.",
  refusal: "The model declined to answer this.",
  context_length: "The conversation has grown too long for the model. Start a new session.",
  CONNECTION_LOST: "The connection to the gateway was lost before it took the message.",
  TIMEOUT: "The gateway did not answer in time.",
};

/** An error as a person can use it; what the gateway said itself is kept. */
export function plainError(kind, message) {
  const reason = reasons[kind];
  if (!reason) return message || "Something went wrong; the gateway's log knows more.";
  return message && !message.includes("connection to the gateway") ? `${reason} (${message})` : reason;
}
