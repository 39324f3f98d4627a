import type { Block, Chunk, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import { type Intent, intentOf, type ToolRequest, toolRequest } from "./intents.ts";

const introduction =
  "I am rclaw's built-in guide, not a language model: I know a few phrases, can use your tools for simple requests, and work without any network.";

const addModel = [
  "To get a real model, do one of these:",
  "- set `ANTHROPIC_API_KEY` or `OPENAI_API_KEY` in the gateway's environment and restart it",
  "- run `rclaw config set models.providers.anthropic.apiKey <key>` (or `models.providers.openai.apiKey`)",
  "- start Ollama on this machine (`ollama serve`, then `ollama pull <model>`)",
  "",
  "The best one that is ready answers from then on; `rclaw models` shows which.",
].join("\n");

const examples =
  'Try "list the files", "read README.md", "write hello to notes.txt", "run `uname`" or "what time is it".';

/** The whole answer at once; the same request always gets the same one. */
export function answer(request: CompletionRequest): readonly Chunk[] {
  const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  const { messages } = request;
  const last = messages.at(-1);
  const results = last?.role === "user" ? last.content.filter((block) => block.type === "tool_result") : [];
  const isFirst = !messages.some(
    ({ role, content }) => role === "assistant" && content.some(({ type }) => type === "text"),
  );
  if (results.length > 0) {
    const told = results.map((result) => afterTool(result, messages)).join("\n\n");
    return say(isFirst ? `${told}\n\n${introduction}` : told);
  }

  const text = wordsOf(last);
  const wanted = toolRequest(text);
  if (wanted) {
    const offered = wanted.find(({ name }) => request.tools.some((tool) => tool.name === name));
    if (offered) {
      const id = `guide_${messages.length}`;
      return [
        { type: "tool_use", id, name: offered.name, input: offered.input },
        { type: "end", stopReason: "toolUse", usage },
      ];
    }
  }
  const reply = wanted ? withoutTool(wanted) : replyTo(intentOf(text), isFirst);
  return say(isFirst && !reply.startsWith(introduction) ? `${introduction}\n\n${reply}` : reply);

  function say(words: string): readonly Chunk[] {
    return [
      { type: "text", delta: words },
      { type: "end", stopReason: "stop", usage },
    ];
  }
}

/** What the person wrote, without what the gateway puts in front of it. */
function wordsOf(message: Message | undefined): string {
  if (message?.role !== "user") return "";
  const text = message.content.findLast((block) => block.type === "text")?.text ?? "";
  return text
    .replace(/^(?:System: \[[^\n]*\n?)+\n?/, "")
    .replace(/^\[[^\]\n]{1,200}\] (?:[^\n()]{1,80} \(id:[^\s()]{1,64}\): )?/, "")
    .trim();
}

function replyTo(intent: Intent, isFirst: boolean): string {
  switch (intent) {
    case "hello":
      return isFirst ? `Hello! What can I do for you? ${examples}` : "Hello again! What can I do for you?";
    case "who":
      return `${introduction}\n\n${addModel}`;
    case "help":
      return `${examples}\n\n${addModel}`;
    case "thanks":
      return "You are welcome.";
    case "bye":
      return "Goodbye! I am here when you need me.";
    case "how":
      return "All is well here, thank you. The gateway works; what is missing is a model. " + addModel;
    case "model":
      return addModel;
    case "nothing":
      return `I did not get any text. ${examples}`;
    default:
      return `I cannot answer that: it needs a language model, and none is connected. ${examples}\n\n${addModel}`;
  }
}

/** No tool for it is offered here. The time is the one thing the guide knows by itself. */
function withoutTool([wanted]: readonly ToolRequest[]): string {
  if (wanted?.purpose === "time") return `It is ${new Date().toString()}.`;
  return `For that I need the tool \`${wanted?.name}\`, which is not available in this conversation. See \`rclaw plugin list\` and the \`tools\` section of the configuration.`;
}

function afterTool(
  { id, content, isError }: Extract<Block, { type: "tool_result" }>,
  messages: readonly Message[],
): string {
  const call = messages
    .flatMap(({ content: blocks }) => blocks)
    .findLast((block) => block.type === "tool_use" && block.id === id);
  const name = call?.type === "tool_use" ? call.name : "tool";
  const input = (call?.type === "tool_use" ? call.input : {}) as Readonly<Record<string, unknown>>;
  if (isError)
    return `That did not work. The tool \`${name}\` answered:\n\n${fenced(content)}\n\nNothing else was tried.`;
  const file = typeof input["path"] === "string" ? `\`${input["path"]}\`` : "the file";
  const isEmpty = content.trim() === "" || content.trim() === "(no output)";
  const body = isEmpty ? "There was no output." : fenced(content);
  if (name === "read") return `Here is ${file}:\n\n${body}`;
  if (name === "write") return `Done: ${file} is written.`;
  const command = typeof input["command"] === "string" ? input["command"] : "it";
  if (command === "ls") return isEmpty ? "The folder is empty." : `These files are there:\n\n${body}`;
  if (command === "date") return `It is now:\n\n${body}`;
  return `I ran \`${command}\`:\n\n${body}`;
}

/** A fence longer than any inside, so that the output cannot end it. */
function fenced(content: string): string {
  const longest = Math.max(2, ...(content.match(/`{3,}/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${content.trimEnd()}\n${fence}`;
}
