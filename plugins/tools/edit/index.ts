import path from "node:path";
import {
  definePlugin,
  defineTool,
  type Files,
  isRclawError,
  type Tool,
  type ToolResult,
} from "@rclaw/plugin-sdk";
import { editParams } from "./edit.schema.ts";
import { replaceOnce } from "./replace.ts";

/**
 * `queues` holds the last edit of each file: a model may ask for two edits of a file
 * at once, and the second must see what the first wrote.
 */
function editTool(queues: Map<string, Promise<unknown>>): Tool {
  return defineTool({
    name: "edit",
    description:
      "Change a file of the workspace: replace a piece of text that occurs exactly once with another.",
    params: editParams,
    paths: ["path", "file_path"],
    async execute(params, { files, workspace, signal }) {
      const file = params.path ?? params.file_path;
      const oldText = params.oldText ?? params.old_string;
      const newText = params.newText ?? params.new_string;
      if (file === undefined || oldText === undefined || newText === undefined) {
        const missing = Object.entries({ path: file, oldText, newText }).flatMap(([name, value]) =>
          value === undefined ? [`"${name}"`] : [],
        );
        return { content: `Missing: ${missing.join(", ")}.`, isError: true };
      }
      const key = path.resolve(workspace, file);
      const before = queues.get(key) ?? Promise.resolve();
      const work = before.then(() => {
        signal.throwIfAborted();
        return edit(files, file, oldText, newText);
      });
      const settled = work.catch(() => undefined);
      queues.set(key, settled);
      try {
        return await work;
      } finally {
        if (queues.get(key) === settled) queues.delete(key);
      }
    },
  });
}

async function edit(files: Files, file: string, oldText: string, newText: string): Promise<ToolResult> {
  try {
    const text = decoded(await files.read(file));
    if (text === undefined)
      return { content: `"${file}" is not UTF-8 text, so it cannot be edited.`, isError: true };
    const result = replaceOnce(text, oldText, newText);
    if ("problem" in result)
      return { content: `"${file}" was not changed: ${result.problem}`, isError: true };
    await files.write(file, result.text);
    const [removed, added] = [oldText, newText].map((part) => part.split("\n").length);
    return {
      content: `Edited "${file}" at line ${result.line}.`,
      details: { path: file, line: result.line, removed, added },
    };
  } catch (error) {
    if (!isRclawError(error)) throw error;
    return { content: error.message, isError: true, details: { code: error.code } };
  }
}

/** Keeps a byte order mark, so that what is written back differs only where it was meant to. */
function decoded(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

export default definePlugin({
  activate(ctx) {
    ctx.tools.register(editTool(new Map()));
  },
});
