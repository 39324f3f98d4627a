import type { Block, Chunk, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import { type Intent, intentOf } from "./intents.ts";
import { introduction, replyTo, type Told } from "./replies.ts";
import { toolRequests, type ToolRequest } from "./requests.ts";

type Call = Extract<Block, { type: "tool_use" }>;
type Result = Extract<Block, { type: "tool_result" }>;

const noRequests: ReadonlySet<Intent> = new Set(["secret", "which-file", "which-text", "which-command"]);

/** The whole answer at once; the same request always gets the same one. */
export function answer(request: CompletionRequest): readonly Chunk[] {
  const { messages, tools } = request;
  const isFirst = !messages.some(
    ({ role, content }) => role === "assistant" && content.some(({ type }) => type === "text"),
  );
  const last = messages.at(-1);
  const results = last?.role === "user" ? last.content.filter((block) => block.type === "tool_result") : [];
  if (results.length > 0) return afterTools(results, request, isFirst);

  const text = wordsOf(last);
  const intent = intentOf(text);
  // A key that somebody pasted is not handed on to a tool, and "run a command" names none.
  const wanted = noRequests.has(intent) ? undefined : toolRequests(text);
  const calls = wanted?.map((step) => step.find(({ name }) => isOffered(request, name)));
  if (wanted && calls?.every((call) => call !== undefined)) return use(calls, messages.length);
  const told: Told = {
    isFirst,
    tools,
    // Looked for only where it matters: conversations are long.
    get hasAdvice() {
      return messages.some(
        ({ role, content }) =>
          role === "assistant" && textsOf(content).some((words) => words.includes("rclaw plugin add")),
      );
    },
  };
  const reply = wanted ? withoutTool(wanted, calls) : replyTo(intent, text, told);
  return say(isFirst && !reply.startsWith(introduction) ? `${introduction}\n\n${reply}` : reply);
}

const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

function say(words: string): readonly Chunk[] {
  return [
    { type: "text", delta: words },
    { type: "end", stopReason: "stop", usage },
  ];
}

function use(calls: readonly Pick<ToolRequest, "name" | "input">[], at: number): readonly Chunk[] {
  return [
    ...calls.map(({ name, input }, index): Chunk => ({
      type: "tool_use",
      id: `guide_${at}_${index}`,
      name,
      input,
    })),
    { type: "end", stopReason: "toolUse", usage },
  ];
}

const isOffered = ({ tools }: CompletionRequest, wanted: string): boolean =>
  tools.some(({ name }) => name === wanted);

const textsOf = (content: readonly Block[]): readonly string[] =>
  content.flatMap((block) => (block.type === "text" ? [block.text] : []));

/** What the person wrote, without what the gateway puts in front of it. */
function wordsOf(message: Message | undefined): string {
  if (message?.role !== "user") return "";
  const text = textsOf(message.content).at(-1) ?? "";
  return text
    .replace(/^(?:System: \[[^\n]*\n?)+\n?/, "")
    .replace(/^\[[^\]\n]{1,200}\] (?:[^\n()]{1,80} \(id:[^\s()]{1,64}\): )?/, "")
    .trim();
}

/** No tool for it is offered here. The time is the one thing the guide knows by itself. */
function withoutTool(
  steps: readonly (readonly ToolRequest[])[],
  calls: readonly (ToolRequest | undefined)[] | undefined,
): string {
  const missing = steps.find((_step, index) => calls?.[index] === undefined)?.[0];
  if (missing?.purpose === "time") return timeNow();
  return `For that I need the tool \`${missing?.name}\`, which is not available in this conversation. See \`rclaw plugin list\` and the \`tools\` section of the configuration.`;
}

const timeNow = (): string => `It is ${new Date().toString()}.`;

function afterTools(
  results: readonly Result[],
  request: CompletionRequest,
  isFirst: boolean,
): readonly Chunk[] {
  const { messages } = request;
  const calls = messages.flatMap(({ content }) => content.filter((block) => block.type === "tool_use"));
  const done = results.map((result) => ({ result, call: calls.findLast(({ id }) => id === result.id) }));
  // Where commands cannot run a folder can still be read.
  const [only] = done;
  if (
    done.length === 1 &&
    only?.result.isError &&
    commandOf(only.call) === "ls" &&
    isOffered(request, "read")
  )
    return use([{ name: "read", input: { path: "." } }], messages.length);
  const told = done.map(({ result, call }) => afterTool(result, call)).join("\n\n");
  return say(isFirst ? `${told}\n\n${introduction}` : told);
}

function afterTool({ content, isError }: Result, call: Call | undefined): string {
  const name = call?.name ?? "tool";
  const command = commandOf(call);
  if (isError && command === "date") return timeNow();
  if (isError)
    return `That did not work. The tool \`${name}\` answered:\n\n${fenced(content)}\n\nNothing else was tried.`;
  const path = stringIn(call, "path");
  const file = path === undefined ? "the file" : code(path);
  const isEmpty = content.trim() === "" || content.trim() === "(no output)";
  const body = isEmpty ? "It is empty." : fenced(content);
  if (name === "read" && path === ".") return `These files are there:\n\n${body}`;
  if (name === "read") return `Here is ${file}:\n\n${body}`;
  if (name === "write") return `Done: ${file} is written. Say "read ${path ?? "it"}" to see it.`;
  if (command === "ls")
    return isEmpty
      ? 'The workspace is empty. Say "write hello to notes.txt", and there is a first file.'
      : `These files are there:\n\n${body}`;
  if (command === "date") return `It is ${content.trim()}.`;
  const ran = command === undefined ? "it" : code(command);
  return isEmpty ? `I ran ${ran}. It printed nothing.` : `I ran ${ran}:\n\n${body}`;
}

function stringIn(call: Call | undefined, key: string): string | undefined {
  const value = ((call?.input ?? {}) as Readonly<Record<string, unknown>>)[key];
  return typeof value === "string" ? value : undefined;
}

const commandOf = (call: Call | undefined): string | undefined => stringIn(call, "command");

/** Between more backticks than there are inside. */
function code(text: string): string {
  if (text.includes("\n")) return `\n\n${fenced(text)}\n`;
  if (!text.includes("`")) return `\`${text}\``;
  const longest = Math.max(...(text.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const mark = "`".repeat(longest + 1);
  return `${mark} ${text} ${mark}`;
}

/** A fence longer than any inside, so that the output cannot end it. */
function fenced(content: string): string {
  const longest = Math.max(2, ...(content.match(/`{3,}/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${content.trimEnd()}\n${fence}`;
}
