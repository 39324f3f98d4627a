const stopWords = new Set(
  "stop abort esc exit wait interrupt /stop /abort detente para arrête arrete stopp halt anhalten aufhören 停止 停下 止めて やめて стоп остановись توقف रुको"
    .split(" ")
    .concat("please stop", "stop please"),
);

/** A whole message that means "stop", in whatever case and with whatever mark behind it. */
export function isStop(message: string): boolean {
  if (message.length > 32) return false;
  return stopWords.has(
    message
      .trim()
      .toLowerCase()
      .replace(/[.!。！…]+$/u, ""),
  );
}

export type ChatCommand =
  | { readonly name: "new" | "reset"; readonly rest: string }
  | { readonly name: "status" | "help" }
  /** What was running has been stopped already; only the answer is left to give. */
  | { readonly name: "stopped" };

const pattern = /^\/(new|reset|status|help|commands)(?:[\s:]+([\s\S]*))?$/i;

/** `/new` and `/reset` may carry the first prompt of the new session; the others stand alone. */
export function parseCommand(message: string): ChatCommand | undefined {
  if (!message.startsWith("/")) return undefined;
  const [, word = "", rest = ""] = pattern.exec(message.trim()) ?? [];
  const name = word.toLowerCase();
  if (name === "new" || name === "reset") return { name, rest: rest.trim() };
  if (rest !== "" || name === "") return undefined;
  return { name: name === "status" ? "status" : "help" };
}

export const helpText = [
  "Commands:",
  "/new [message] - start a new session, with a first message if you like",
  "/reset [message] - the same",
  "/status - which model answers here, and how much was used",
  "/stop - stop what is running (the single word stop does it too)",
  "/help - this list",
].join("\n");

export interface StatusFacts {
  readonly version: string;
  readonly model: string;
  readonly reason: string;
  readonly sessionKey: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly thinking: string;
  readonly running: number;
}

export function statusText(facts: StatusFacts): string {
  return [
    `rclaw ${facts.version}`,
    `Model: ${facts.model} (${facts.reason})`,
    `Tokens: ${facts.inputTokens} in / ${facts.outputTokens} out`,
    `Session: ${facts.sessionKey}`,
    `Thinking: ${facts.thinking} · Running: ${facts.running}`,
  ].join("\n");
}
