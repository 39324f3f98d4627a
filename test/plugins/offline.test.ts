import type { Chunk, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import offline from "../../plugins/providers/offline/index.ts";
import { agentBench, chatText, textTool } from "./agent.support.ts";

const tools = ["read", "write", "edit", "exec"].map((name) => ({ name, description: name, params: {} }));
const said = (text: string): Message => ({
  role: "user",
  content: [{ type: "text", text: `[Sun 2026-11-22 10:57 UTC] ${text}` }],
});

async function guide() {
  const bench = createTestContext({ manifest: { contributes: { providers: ["offline"] } } });
  await bench.activate(offline);
  const provider = bench.contributions.providers.get("offline");
  if (!provider) throw new Error("not registered");
  return provider;
}

async function chunks(
  messages: readonly Message[],
  with_: Partial<CompletionRequest> = {},
): Promise<Chunk[]> {
  const provider = await guide();
  const result: Chunk[] = [];
  for await (const chunk of provider.stream(
    { model: "guide", system: "", messages, tools, ...with_ },
    new AbortController().signal,
  ))
    result.push(chunk);
  return result;
}

const textOf = (list: readonly Chunk[]): string =>
  list.map((chunk) => (chunk.type === "text" ? chunk.delta : "")).join("");

test("the guide is always ready, behind every real model", async () => {
  const provider = await guide();
  expect(await provider.ready(new AbortController().signal)).toMatchObject({
    ok: true,
    rank: 100,
    defaultModel: "guide",
  });
});

test("its first answer says that it is no model, word by word, and ends properly", async () => {
  const list = await chunks([said("hello")]);
  expect(list.length).toBeGreaterThan(20);
  expect(list.at(-1)).toMatchObject({ type: "end", stopReason: "stop" });
  expect(list.slice(0, -1).every((chunk) => chunk.type === "text" && /^\s*\S+\s*$/.test(chunk.delta))).toBe(
    true,
  );
  expect(textOf(list)).toMatch(/^I am rclaw's built-in guide, not a language model/);
  expect(
    textOf(
      await chunks([
        said("hello"),
        { role: "assistant", content: [{ type: "text", text: "x" }] },
        said("hi"),
      ]),
    ),
  ).toMatch(/^Hello again/);
});

test("the same request always gets the same answer", async () => {
  expect(await chunks([said("tell me a joke")])).toEqual(await chunks([said("tell me a joke")]));
});

test.each([
  ["hello", "Hello!"],
  ["Good morning!", "Hello!"],
  ["who are you?", "not a language model"],
  ["are you an AI", "not a language model"],
  ["help", "list the files"],
  ["what can you do?", "list the files"],
  ["thanks a lot", "You are welcome"],
  ["bye", "Goodbye"],
  ["how are you?", "All is well"],
  ["how do I add an API key", "ANTHROPIC_API_KEY"],
  ["how can I use claude", "rclaw plugin add anthropic"],
  ["can I have gpt?", "needs a language model"],
  ["how do I set up ollama", "ollama pull"],
  ["telegram", "rclaw pairing approve telegram CODE"],
  ["what tools do you have?", "- `exec`: exec"],
  ["bonjour", "I only understand a little English"],
  ["こんにちは", "I only understand a little English"],
  ["write a file", "What shall I write, and where?"],
  ["run a command", "Which command?"],
  ["read a file", "Which file?"],
  ["delete old.txt", "run `rm old.txt`"],
  ["how do I stop you?", "/stop"],
  ["???", 'Say "help"'],
  ["👍", "All right."],
  ["/start", "- list the files"],
  ["write me a poem about the sea", "needs a language model"],
  ["what is the capital of France?", "ollama serve"],
])("%s gets an honest answer", async (message, expected) => {
  expect(textOf(await chunks([said(message)]))).toContain(expected);
});

test.each([
  ["list files", "exec", { command: "ls" }],
  ["list the files in the workspace", "exec", { command: "ls" }],
  ["Please list all files in the current directory.", "exec", { command: "ls" }],
  ["can you show me the files?", "exec", { command: "ls" }],
  ["what files are there?", "exec", { command: "ls" }],
  ["what's in the folder", "exec", { command: "ls" }],
  ["ls", "exec", { command: "ls" }],
  ["use your tools to list the files", "exec", { command: "ls" }],
  ["read README.md", "read", { path: "README.md" }],
  ["please read the file `docs/notes.txt`", "read", { path: "docs/notes.txt" }],
  ["show me the contents of AGENTS.md", "read", { path: "AGENTS.md" }],
  ["what is in notes.txt?", "read", { path: "notes.txt" }],
  ["what time is it", "exec", { command: "date" }],
  ["What's the date?", "exec", { command: "date" }],
  ["run `uname`", "exec", { command: "uname" }],
  ["run uname -a", "exec", { command: "uname -a" }],
  ['execute the command "echo hi"', "exec", { command: "echo hi" }],
  ["write hello to notes.txt", "write", { path: "notes.txt", content: "hello" }],
  ['write "hello world" into the file a/b.txt', "write", { path: "a/b.txt", content: "hello world" }],
  ["create a file called todo.md with buy milk", "write", { path: "todo.md", content: "buy milk" }],
  ["Hello there! Could you please list the files for me?", "exec", { command: "ls" }],
  ["list the files in src", "read", { path: "src" }],
  ["what files are in docs/old?", "read", { path: "docs/old" }],
  ["list the folder src", "read", { path: "src" }],
  ["show me the readme", "read", { path: "README.md" }],
  ['open "my notes.txt"', "read", { path: "my notes.txt" }],
  ["pwd", "exec", { command: "pwd" }],
  ["run cd src; ls", "exec", { command: "cd src; ls" }],
  ["do you know what time it is?", "exec", { command: "date" }],
  ["whats the time", "exec", { command: "date" }],
])("%s asks for a tool", async (message, name, input) => {
  expect(await chunks([said(message)])).toMatchObject([
    { type: "tool_use", name, input },
    { type: "end", stopReason: "toolUse" },
  ]);
});

test.each([
  "list the files, then read README.md",
  "list the files and then read README.md",
  "run `ls`; read README.md",
])("%s is two requests", async (message) => {
  expect(await chunks([said(message)])).toMatchObject([
    { type: "tool_use", name: "exec", input: { command: "ls" } },
    { type: "tool_use", name: "read", input: { path: "README.md" } },
    { type: "end", stopReason: "toolUse" },
  ]);
});

test("a key that somebody pastes goes nowhere and is not repeated", async () => {
  for (const [key, plugin] of [
    ["sk-ant-api03-abcdefghijklmnopqrstuvwxyz", "anthropic"],
    ["sk-proj-abcdefghijklmnopqrstuvwxyz", "openai"],
    ["123456789:AAHfiqksKZ8WmR2zSjiQ7abcdefghijklmno", "telegram"],
  ] as const) {
    const list = await chunks([said(`write ${key} to key.txt`)]);
    expect(list.some(({ type }) => type === "tool_use")).toBe(false);
    expect(textOf(list)).toContain(`rclaw plugin add ${plugin}`);
    expect(textOf(list)).not.toContain(key);
  }
});

test("what was said once is not said again at length", async () => {
  const first = textOf(await chunks([said("tell me a joke")]));
  expect(first).toContain("rclaw plugin add anthropic");
  const before: Message = { role: "assistant", content: [{ type: "text", text: first }] };
  const second = textOf(await chunks([said("tell me a joke"), before, said("and another one")]));
  expect(second).toBe(
    'I cannot answer that: it needs a language model, and none is connected. Say "add a key" to see how to connect one, or "help" for what I can do.',
  );
});

test("where commands cannot run, folders are still read and the time is still told", async () => {
  const asked = (command: string): Message => ({
    role: "assistant",
    content: [{ type: "tool_use", id: "t", name: "exec", input: { command } }],
  });
  const refused: Message = {
    role: "user",
    content: [{ type: "tool_result", id: "t", content: "there is no sandbox here", isError: true }],
  };
  expect(await chunks([said("ls"), asked("ls"), refused])).toMatchObject([
    { type: "tool_use", name: "read", input: { path: "." } },
    {},
  ]);
  expect(textOf(await chunks([said("date"), asked("date"), refused]))).toContain(
    String(new Date().getFullYear()),
  );
});

test("nobody can keep it busy with a long message", async () => {
  const started = performance.now();
  for (const text of [
    "what list ".repeat(40_000),
    "write a to ".repeat(40_000),
    "`".repeat(200_000),
    "run ".repeat(900),
  ])
    await chunks([said(text)]);
  expect(performance.now() - started).toBeLessThan(2_000);
});

test.each(["run away with me", "read between the lines", "time flies", "I like files"])(
  "%s asks for no tool it should not",
  async (message) => {
    const list = await chunks([said(message)]);
    expect(list.filter((chunk) => chunk.type === "tool_use" && chunk.name !== "exec")).toEqual([]);
  },
);

test("a tool that is not offered is not asked for", async () => {
  expect(textOf(await chunks([said("read README.md")], { tools: [] }))).toContain(
    "tool `read`, which is not available",
  );
  expect(textOf(await chunks([said("what time is it")], { tools: [] }))).toContain(
    String(new Date().getFullYear()),
  );
  expect(
    await chunks([said("list files")], { tools: tools.filter(({ name }) => name === "read") }),
  ).toMatchObject([{ name: "read", input: { path: "." } }, {}]);
});

test("after a tool it answers with a sentence and a fence that the output cannot end", async () => {
  const ask: Message = {
    role: "assistant",
    content: [{ type: "tool_use", id: "t", name: "read", input: { path: "a.md" } }],
  };
  const results = (content: string, isError = false): Message => ({
    role: "user",
    content: [{ type: "tool_result", id: "t", content, isError }],
  });
  expect(textOf(await chunks([said("read a.md"), ask, results("```\nx\n```")]))).toContain(
    "Here is `a.md`:\n\n````\n```\nx\n```\n````",
  );
  const refused = textOf(
    await chunks([said("read a.md"), ask, results("read is denied by tools.deny", true)]),
  );
  expect(refused).toContain("read is denied by tools.deny");
  expect(refused).toContain("That did not work");
});

test("a fresh install answers through the agent, tools included", async () => {
  await using bench = await agentBench({
    providers: [await guide()],
    tools: [textTool("exec", () => "notes.txt\n")],
  });
  await bench.call("chat.send", {
    sessionKey: "main",
    message: "list the files in the workspace",
    idempotencyKey: "c1",
  });
  expect(chatText(await bench.until("c1", "final"))).toContain("```\nnotes.txt\n```");
});
