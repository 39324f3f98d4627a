import type { CompletionRequest } from "@rclaw/plugin-sdk";
import { type Intent, makerIn } from "./intents.ts";

export const introduction =
  "I am rclaw's built-in guide, not a language model: I know a few phrases, can use your tools for simple requests, and work without any network.";

const addModel = [
  "To get a real model, do one of these in a terminal on the machine where I run:",
  "- `npx rclaw plugin add anthropic` or `npx rclaw plugin add openai`: it asks for your API key and keeps it in a file that only you can read",
  "- start Ollama (`ollama serve`, and once `ollama pull llama3.2`): it is found by itself",
  "- or stop the gateway and start it with `ANTHROPIC_API_KEY` or `OPENAI_API_KEY` in its environment",
  "",
  "The best one that is ready answers from the next message on; `npx rclaw models` shows which.",
].join("\n");

const byMaker = {
  anthropic:
    "For Claude you need an API key from console.anthropic.com. Then, in a terminal on the machine where I run:\n\n```\nnpx rclaw plugin add anthropic\n```\n\nIt asks for the key and keeps it in a file that only you can read; Claude answers from the next message on. Or start the gateway with `ANTHROPIC_API_KEY` in its environment.",
  openai:
    "For OpenAI's models you need an API key from platform.openai.com. Then, in a terminal on the machine where I run:\n\n```\nnpx rclaw plugin add openai\n```\n\nIt asks for the key and keeps it in a file that only you can read; the model answers from the next message on. Or start the gateway with `OPENAI_API_KEY` in its environment.",
  ollama: [
    "With Ollama a model runs on your own machine, and you need no key:",
    "- `ollama serve` starts it, if it does not run already",
    "- `ollama pull llama3.2`, in another terminal, gets it a model",
    "",
    "It is found by itself and answers from the next message on. If it runs elsewhere: `npx rclaw config set models.providers.ollama.baseUrl http://<host>:11434`.",
  ].join("\n"),
} as const;

const telegram = [
  "To talk to your assistant on Telegram:",
  "1. write to @BotFather there, say /newbot, and take the token it gives you",
  "2. in a terminal on the machine where I run: `npx rclaw plugin add telegram`; it asks for the token",
  "3. write to your new bot: it answers with a code, because nobody may talk to it yet",
  "4. `npx rclaw pairing approve telegram CODE`, and it knows you",
].join("\n");

const examples =
  'Try "list the files", "read README.md", "write hello to notes.txt", "run `uname`" or "what time is it".';

const abilities = [
  "I do simple things, but for real, in your workspace. Say for example:",
  "- list the files",
  "- read README.md",
  "- write hello to notes.txt",
  "- run `uname`",
  "- what time is it",
  "",
  'I also know how to connect a model ("add a key") and Telegram ("telegram"). /help lists the commands that work with every model.',
].join("\n");

/** What was said before, so that nobody has to read it again. */
export interface Told {
  readonly isFirst: boolean;
  /** How to get a model. */
  readonly hasAdvice: boolean;
  readonly tools: CompletionRequest["tools"];
}

export function replyTo(intent: Intent, text: string, told: Told): string {
  const { isFirst } = told;
  const advice = (): string => (told.hasAdvice ? 'Say "add a key" to see how to connect one.' : addModel);
  switch (intent) {
    case "hello":
      return isFirst ? `Hello! What can I do for you? ${examples}` : "Hello again! What can I do for you?";
    case "foreign-hello":
      return `Hello! I only understand a little English. ${examples}`;
    case "who":
      return `${introduction}\n\n${told.hasAdvice ? 'Say "add a key" to see how to connect a model.' : addModel}`;
    case "rclaw":
      return `rclaw is a gateway for a personal assistant on your own machine: this conversation, Telegram and the command line all lead to the same assistant, which asks a model and uses tools in your workspace. At the moment no model is connected. ${advice()}`;
    case "tools":
      return toolsOf(told);
    case "help":
      return told.hasAdvice ? abilities : `${abilities}\n\n${addModel}`;
    case "thanks":
      return "You are welcome.";
    case "bye":
      return "Goodbye! I am here when you need me.";
    case "how":
      return `All is well here, thank you: the gateway works. What is missing is a model. ${advice()}`;
    case "agree":
      return 'All right. Say "help" to see what I can do.';
    case "model":
      return adviceFor(text);
    case "telegram":
      return telegram;
    case "channel":
      return `Telegram and the web page are the channels there are today; others come as plugins. ${telegram}`;
    case "stop":
      return "Press the stop button, or write /stop, while an answer is on its way. Ctrl-C in the terminal stops the gateway itself.";
    case "secret":
      return secret(text);
    case "which-file":
      return 'Which file? Say for example "read README.md"; "list the files" shows what there is.';
    case "which-text":
      return 'What shall I write, and where? Say for example "write hello to notes.txt".';
    case "which-command":
      return 'Which command? Say for example "run `uname`".';
    case "change":
      return `I read and write whole files only. For anything else give me the command, for example "run \`${commandFor(text)}\`"; I run exactly what you write.`;
    case "nothing":
      return `I did not get any text. ${examples}`;
    case "unclear":
      return 'I am not sure what you mean. Say "help" to see what I can do.';
    default:
      return unknown(text, told);
  }
}

function unknown(text: string, { hasAdvice }: Told): string {
  const isEnglish = /^[\p{Script=Latin}\p{Script=Common}]*$/u.test(text);
  const language = isEnglish ? "" : " I only understand a little English.";
  const sorry = `I cannot answer that: it needs a language model, and none is connected.${language}`;
  if (hasAdvice) return `${sorry} Say "add a key" to see how to connect one, or "help" for what I can do.`;
  return `${sorry} ${examples}\n\n${addModel}`;
}

function toolsOf({ tools }: Told): string {
  if (tools.length === 0)
    return "There are no tools in this conversation. `rclaw plugin list` and the `tools` section of the configuration say why.";
  const lines = tools.map(
    ({ name, description }) => `- \`${name}\`: ${/^[^.!?]*/.exec(description)?.[0] ?? ""}`,
  );
  return `These tools are there for me and for every model:\n${lines.join("\n")}\n\n${examples}`;
}

function secret(text: string): string {
  const isBotToken = /\d{6,}:/.test(text);
  const plugin = isBotToken ? "telegram" : text.includes("sk-ant-") ? "anthropic" : "openai";
  return [
    "That looks like a key or a token. A chat is no place for one: what is written here stays in the conversation's file, and I did not use it.",
    `Better make a new one, and give that to \`npx rclaw plugin add ${plugin}\` in a terminal: it asks for it, shows nothing and keeps it in a file that only you can read.`,
  ].join("\n\n");
}

function adviceFor(text: string): string {
  const maker = makerIn(text);
  return maker ? byMaker[maker] : addModel;
}

function commandFor(text: string): string {
  const [, file] = /^(?:please )?(?:delete|remove|rm) (?:the )?(?:file )?([\w./]+)$/i.exec(text) ?? [];
  return file ? `rm ${file}` : "mv old.txt new.txt";
}
