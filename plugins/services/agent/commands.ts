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

interface CommandLine {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly usage: string;
  readonly about: string;
  readonly category: "session" | "options" | "status";
  readonly arg?: { readonly name: string; readonly about: string };
}

const lines: readonly CommandLine[] = [
  {
    name: "new",
    usage: "/new [message]",
    about: "start a new session, with a first message if you like",
    category: "session",
    arg: { name: "message", about: "the first message" },
  },
  {
    name: "reset",
    usage: "/reset [message]",
    about: "the same",
    category: "session",
    arg: { name: "message", about: "the first message" },
  },
  {
    name: "status",
    usage: "/status",
    about: "which model answers here, and how much was used",
    category: "status",
  },
  {
    name: "model",
    aliases: ["models"],
    usage: "/model",
    about: "which model this is; /model list, /model <provider/model>, /model default",
    category: "options",
    arg: { name: "model", about: "list, default, or a model as provider/model" },
  },
  {
    name: "think",
    aliases: ["thinking", "t"],
    usage: "/think <level>",
    about: "how long the model thinks: off, minimal, low, medium, high, xhigh, default",
    category: "options",
    arg: { name: "level", about: "off, minimal, low, medium, high, xhigh or default" },
  },
  {
    name: "whoami",
    aliases: ["id"],
    usage: "/whoami",
    about: "who you are to the assistant",
    category: "status",
  },
  {
    name: "stop",
    usage: "/stop",
    about: "stop what is running (the single word stop does it too)",
    category: "session",
  },
  { name: "help", aliases: ["commands"], usage: "/help", about: "this list", category: "status" },
];

export const helpText = [
  "Commands:",
  ...lines.map(({ usage, about }) => `${usage} - ${about}`),
  "Anything else that begins with / goes to the model.",
].join("\n");

/** `commands.list`: what can be typed in a chat. None of it is a platform's own command. */
export function commandList({
  scope = "both",
  includeArgs = true,
}: {
  readonly scope?: "text" | "native" | "both";
  readonly includeArgs?: boolean;
}): readonly object[] {
  if (scope === "native") return [];
  return lines.map(({ name, aliases = [], about, category, arg }) => ({
    name,
    textAliases: [name, ...aliases].map((word) => `/${word}`),
    description: about,
    category,
    source: "native",
    scope: "text",
    acceptsArgs: arg !== undefined,
    ...(includeArgs &&
      arg && { args: [{ name: arg.name, description: arg.about, type: "string", required: false }] }),
  }));
}
