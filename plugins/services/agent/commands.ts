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
  | { readonly name: "model" | "think"; readonly rest: string }
  | { readonly name: "status" | "help" | "whoami" }
  /** What was running has been stopped already; only the answer is left to give. */
  | { readonly name: "stopped"; readonly count: number };

const names: Readonly<Record<string, Exclude<ChatCommand["name"], "stopped">>> = {
  new: "new",
  reset: "reset",
  model: "model",
  models: "model",
  think: "think",
  thinking: "think",
  t: "think",
  status: "status",
  help: "help",
  commands: "help",
  // What a platform's own "start" button says before a person has said anything.
  start: "help",
  whoami: "whoami",
  id: "whoami",
};

/** In groups people name the bot: `/status@my_bot`. */
const pattern = /^\/([a-z]+)(?:@\w+)?(?:[\s:]+([\s\S]*))?$/i;

/** A command that is not known here, or is used like a word, is the model's to read. */
export function parseCommand(message: string): ChatCommand | undefined {
  if (!message.startsWith("/")) return undefined;
  const [, word = "", given = ""] = pattern.exec(message.trim()) ?? [];
  const key = word.toLowerCase();
  const name = Object.hasOwn(names, key) ? names[key] : undefined;
  const rest = given.trim();
  if (name === "new" || name === "reset") return { name, rest };
  // Names and levels are single words; more than one is a sentence.
  if (name === "model" || name === "think")
    return /\s/.test(rest) ? undefined : { name, rest: key === "models" && rest === "" ? "list" : rest };
  return name === undefined || rest !== "" ? undefined : { name };
}

/** Said as a command, and not as a word that may mean something else. */
export const isStopCommand = (message: string): boolean =>
  message.trimStart().startsWith("/") && isStop(message);

export const helpText = [
  "Commands:",
  "/new [message] - start a new session, with a first message if you like",
  "/reset [message] - the same",
  "/status - which model answers here, and how much was used",
  "/model - which model this is; /model list, /model <provider/model>, /model default",
  "/think <level> - how long the model thinks: off, minimal, low, medium, high, xhigh, default",
  "/whoami - who you are to the assistant",
  "/stop - stop what is running (the single word stop does it too)",
  "/help - this list",
  "Anything else that begins with / goes to the model.",
].join("\n");
