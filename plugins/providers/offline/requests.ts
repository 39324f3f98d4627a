/** A tool call that would do what was asked. */
export interface ToolRequest {
  readonly purpose: "list" | "read" | "write" | "run" | "time";
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
}

const file = "[`\"'“]?([\\p{L}\\p{N}_.~/][\\p{L}\\p{N}_./~-]*)[`\"'”]?";
const pattern = (source: string): RegExp => new RegExp(source, "iu");
const quotedPattern =
  /^(?:read|open|show|cat|print|display|view)(?: me)?(?: the| my)?(?: file)? [`"'“]([^`"'“”]+)[`"'”]$/i;
const readPattern = pattern(
  `^(?:read|open|show|cat|print|display|view|see)(?: me)?(?: the| my)?(?: contents? of)?(?: the| my)?(?: file)? ${file}(?: file)?$`,
);
const whatIsInPattern = pattern(
  `^what(?:['’]?s| is| does) (?:in|inside|written in)(?: the| my)?(?: file)? ${file}(?: say)?$`,
);
const sayPattern = pattern(
  `^(?:write|save|put|store)(?: the text| the words?)? (?:[\`"'“]([^\`"'“”]*)[\`"'”]|([\\s\\S]+?)) (?:in|into|to)(?: a| the| my)?(?: new)?(?: file)?(?: called| named)? ${file}$`,
);
const createPattern = pattern(
  `^(?:create|make|write)(?: a| the)?(?: new)? file(?: called| named)? ${file} (?:with|containing|saying|that says)(?: the text| the content)? (?:[\`"'“]([^\`"'“”]*)[\`"'”]|([\\s\\S]+))$`,
);
const runPattern = /^(?:run|execute|exec)(?: the)?(?: commands?)?:? (?:`([^`]+)`|"([^"]+)"|([\s\S]+))$/i;
/** Said alone these are commands; every other word could be the beginning of a sentence. */
const barePattern = /^(?:ls|pwd|uname|uptime|hostname|whoami|df)(?: -?[\w./-]+){0,4}$/;
const timePattern =
  /^(?:do you know |tell me |say |show me )?(?:(?:what(?:['’]?s| is) )?(?:the )?(?:current )?(?:time|date|day)(?: and (?:the )?(?:time|date))?|what (?:time|date|day) (?:is it|it is|do we have)|what day (?:is )?today(?: is)?|(?:what(?:['’]?s| is) )?today(?:'s|’s)? ?(?:date|day)?|how late is it)(?: today| (?:right )?now| here)?$/i;

/** Where one request ends and the next begins: "then", or anything after a command in backticks. */
const between =
  /\s*[,;.]?\s+(?:and\s+)?then\s+|(?<=`)\s*[,;]\s*(?:and\s+)?(?:then\s+)?|(?<=`)\s+and\s+(?:then\s+)?/i;
const maxSteps = 5;

/**
 * What the message asks of tools: for each step the calls that would do it, the best
 * first. Undefined when it asks for none.
 */
export function toolRequests(message: string): readonly (readonly ToolRequest[])[] | undefined {
  const text = polite(message);
  if (text === "" || text.length > 4_000) return undefined;
  const parts = text.split(between);
  if (parts.length > 1 && parts.length <= maxSteps) {
    const steps = parts.flatMap((part) => {
      const request = toolRequest(polite(part));
      return request ? [request] : [];
    });
    if (steps.length === parts.length) return steps;
  }
  const single = toolRequest(text);
  return single && [single];
}

function toolRequest(text: string): readonly ToolRequest[] | undefined {
  const command = runPattern.exec(text);
  const words = command?.[1] ?? command?.[2] ?? command?.[3];
  if (words) return [exec("run", words.trim())];
  if (timePattern.test(text)) return [exec("time", "date")];
  if (/^(?:ls|dir)$/i.test(text)) return listing("");
  if (barePattern.test(text)) return [exec("run", text)];
  const folder = folderIn(text);
  if (folder !== undefined) return listing(folder);
  if (
    /^(?:read|open|show|view)(?: me)?(?: the| my)? ?readme(?: file)?$|^what does the readme say$/i.test(text)
  )
    return [read("README.md")];
  const [, quoted] = quotedPattern.exec(text) ?? [];
  if (quoted) return [read(quoted)];
  const [, path] = readPattern.exec(text) ?? whatIsInPattern.exec(text) ?? [];
  if (path?.endsWith("/")) return listing(path);
  if (path && looksLikeFile(path)) return [read(path)];
  return writing(text);
}

const here =
  /^(?:here|there|this|it|you|i|have|mine|all|everything|workspace|folder|directory|current|working|files?|contents?)$/i;
const noFolder = /^(?:your|tools?|models?|commands?|channels?|plugins?|sessions?|settings|options|jokes?)$/i;
const folderPattern = pattern(
  `^(?:(?:ls|dir)|(?:list|show|display)(?: me)?(?: the| my)? (?:folder|directory)|list(?: the| my)?) ${file}(?: (?:folder|directory))?$`,
);
const filesInPattern = pattern(
  `\\b(?:in|of|inside|under|from)(?: the| my| this)?(?: (?:folder|directory|subfolder))?(?: called| named)? ${file}(?: (?:folder|directory))?$`,
);

/** The folder whose files are wanted, "" for the workspace; undefined when nobody wants a list. */
function folderIn(text: string): string | undefined {
  if (/^(?:dir|list|(?:my |the )?files|workspace)$/i.test(text)) return "";
  const isAsked = isListing(text);
  const named = folderPattern.exec(text)?.[1] ?? (isAsked ? filesInPattern.exec(text)?.[1] : undefined);
  if (named === undefined || noFolder.test(named)) return isAsked ? "" : undefined;
  if (here.test(named)) return "";
  // "list notes.txt" wants the text of a file.
  return /[^.]\.\w{1,5}$/.test(named) ? undefined : named;
}

function isListing(text: string): boolean {
  const asks = /\b(?:list|show|display|see|print|what|which|give|any|are there)\b/i.test(text);
  return (
    asks &&
    /\b(?:files?|folders?|directory|workspace|contents?)\b/i.test(text) &&
    !/\bwhat (?:can|could|should)\b|\b(?:how|why|delete|remove|rename|move|copy)\b|\.\w{1,5}\b/i.test(text) &&
    text.length < 120
  );
}

function listing(folder: string): readonly ToolRequest[] {
  const path = folder === "" ? "." : folder;
  const byReading: ToolRequest = { purpose: "list", name: "read", input: { path } };
  return folder === "" ? [exec("list", "ls"), byReading] : [byReading];
}

function writing(text: string): readonly ToolRequest[] | undefined {
  const [, path, quoted, bare] = createPattern.exec(text) ?? [];
  if (path) return [write(path, quoted ?? bare ?? "")];
  const [, quotedFirst, bareFirst, target] = sayPattern.exec(text) ?? [];
  return target && looksLikeFile(target) ? [write(target, quotedFirst ?? bareFirst ?? "")] : undefined;
}

const looksLikeFile = (path: string): boolean => /[./]/.test(path) || /^[A-Z_]+$/.test(path);

/** Without "please", "can you" and the mark at the end, which change nothing. */
function polite(message: string): string {
  return message
    .trim()
    .replace(
      /^(?:(?:hey|hi|hello|ok|okay|please|now|and|then|just|can you|could you|would you|will you|can i|could i|may i|i want you to|i want to|i'd like you to|i would like to|i'd like to|let's|use (?:the|your) tools? to)[,!]? +)+/i,
      "",
    )
    .replace(/,? (?:please|for me|now|thanks|thank you)(?=[.!?]*$)/gi, "")
    .replace(/[.!?]+$/, "")
    .trim();
}

const exec = (purpose: ToolRequest["purpose"], command: string): ToolRequest => ({
  purpose,
  name: "exec",
  input: { command },
});
const read = (path: string): ToolRequest => ({ purpose: "read", name: "read", input: { path } });
const write = (path: string, content: string): ToolRequest => ({
  purpose: "write",
  name: "write",
  input: { path, content },
});
