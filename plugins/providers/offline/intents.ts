export type Intent = "hello" | "who" | "help" | "thanks" | "bye" | "how" | "model" | "nothing" | "unknown";

const phrases: readonly [Intent, RegExp][] = [
  ["thanks", /^(?:ok(?:ay)?,? )?(?:thanks?|thank you|thx|cheers|danke|merci|gracias)\b/i],
  ["bye", /^(?:bye|goodbye|good night|see you|ciao|tschüss)\b/i],
  [
    "who",
    /\b(?:who|what) (?:are|r) (?:you|u)\b|\bwhat(?:'s| is) your name\b|\bare you (?:an? )?(?:ai|bot|model|human|llm|claude|gpt|chatgpt)\b|\bintroduce yourself\b/i,
  ],
  ["how", /\bhow are you\b|\bhow(?:'s| is) it going\b|\bwhat'?s up\b/i],
  [
    "model",
    /\b(?:api key|add (?:a|an|my) (?:key|model|provider)|connect (?:a|to a) (?:model|provider)|(?:anthropic|openai|ollama|claude|gpt)\b.*\b(?:key|set ?up|use|connect|configure))\b|\b(?:set ?up|use|connect|configure)\b.*\b(?:anthropic|openai|ollama|claude|gpt|model)\b/i,
  ],
  [
    "help",
    /^(?:help|\?|commands?)\b|\bhelp me\b|\bwhat can you do\b|\bwhat do you do\b|\bhow do (?:i|you) (?:use|work|start|begin)\b|\bget(?:ting)? started\b/i,
  ],
  [
    "hello",
    /^(?:hello|hi|hey|hiya|howdy|yo|hallo|servus|good (?:morning|afternoon|evening|day)|greetings|ping|test|testing|say hello|say hi)\b/i,
  ],
];

export function intentOf(text: string): Intent {
  if (text === "") return "nothing";
  return phrases.find(([, pattern]) => pattern.test(text))?.[0] ?? "unknown";
}

/** A tool call that would do what was asked. */
export interface ToolRequest {
  readonly purpose: "list" | "read" | "write" | "run" | "time";
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
}

const file = String.raw`[\`"']?([\w./~-]*\w[\w./-]*)[\`"']?`;
const readPattern = new RegExp(
  String.raw`^(?:read|open|show|cat|print|display|view)(?: me)?(?: the)?(?: contents? of)?(?: the)?(?: file)? ${file}(?: file)?$`,
  "i",
);
const whatIsInPattern = new RegExp(
  String.raw`^what(?:'s| is| does) (?:in|inside)(?: the)?(?: file)? ${file}$`,
  "i",
);
const sayPattern = new RegExp(
  String.raw`^(?:write|save|put|store)(?: the text| the words?)? (?:[\`"']([^\`"']*)[\`"']|([\s\S]+?)) (?:in|into|to)(?: a| the)?(?: new)?(?: file)?(?: called| named)? ${file}$`,
  "i",
);
const createPattern = new RegExp(
  String.raw`^(?:create|make|write)(?: a| the)?(?: new)? file(?: called| named)? ${file} (?:with|containing|saying)(?: the text| the content)? (?:[\`"']([^\`"']*)[\`"']|([\s\S]+))$`,
  "i",
);

/** What tools would do it, the best first; undefined when the message asks for none. */
export function toolRequest(message: string): readonly ToolRequest[] | undefined {
  const text = polite(message);
  if (text === "" || text.length > 4_000) return undefined;
  const command = /^(?:run|execute|exec)(?: the)?(?: command)?:? (?:`([^`]+)`|"([^"]+)"|([\s\S]+))$/i.exec(
    text,
  );
  const words = command?.[1] ?? command?.[2] ?? command?.[3];
  if (words) return [exec("run", words.trim())];
  if (
    /^(?:what(?:'s| is) the (?:current )?(?:time|date|day)|what (?:time|date|day) is it|(?:current )?(?:time|date)|tell me the (?:time|date))\b/i.test(
      text,
    )
  )
    return [exec("time", "date")];
  if (isListing(text)) return [exec("list", "ls"), { purpose: "list", name: "read", input: { path: "." } }];
  const [, path] = readPattern.exec(text) ?? whatIsInPattern.exec(text) ?? [];
  if (path && looksLikeFile(path)) return [{ purpose: "read", name: "read", input: { path } }];
  return writing(text);
}

function writing(text: string): readonly ToolRequest[] | undefined {
  const [, path, quoted, bare] = createPattern.exec(text) ?? [];
  if (path) return [write(path, quoted ?? bare ?? "")];
  const [, quotedFirst, bareFirst, target] = sayPattern.exec(text) ?? [];
  return target && looksLikeFile(target) ? [write(target, quotedFirst ?? bareFirst ?? "")] : undefined;
}

function isListing(text: string): boolean {
  if (/^(?:ls|dir)$/i.test(text)) return true;
  const asks = /\b(?:list|show|display|see|print|what|which|give)\b/i.test(text);
  return (
    asks &&
    /\b(?:files?|folder|directory|workspace|contents?)\b/i.test(text) &&
    !/\.\w{1,5}\b/.test(text) &&
    text.length < 120
  );
}

const looksLikeFile = (path: string): boolean => /[./]/.test(path) || /^[A-Z_]+$/.test(path);

/** Without "please", "can you" and the mark at the end, which change nothing. */
function polite(message: string): string {
  return message
    .trim()
    .replace(
      /^(?:(?:hey|hi|hello|ok|okay|please|now|and|then|just|can you|could you|would you|will you|i want you to|i'd like you to|use (?:the|your) tools? to)[,!]? +)+/i,
      "",
    )
    .replace(/,? (?:please|for me|now|thanks)(?=[.!?]*$)/gi, "")
    .replace(/[.!?]+$/, "")
    .trim();
}

const exec = (purpose: ToolRequest["purpose"], command: string): ToolRequest => ({
  purpose,
  name: "exec",
  input: { command },
});
const write = (path: string, content: string): ToolRequest => ({
  purpose: "write",
  name: "write",
  input: { path, content },
});
