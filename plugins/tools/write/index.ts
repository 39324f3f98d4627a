import { definePlugin, defineTool, isRclawError } from "@rclaw/plugin-sdk";
import { writeParams } from "./write.schema.ts";

const write = defineTool({
  name: "write",
  description:
    "Write a file of the workspace: the content replaces the whole file, or makes a new one with its folders.",
  params: writeParams,
  paths: ["path", "file_path"],
  async execute({ path, file_path, content }, { files, signal }) {
    const file = path ?? file_path;
    if (file === undefined) return { content: 'Say which file to write: "path" is missing.', isError: true };
    signal.throwIfAborted();
    try {
      await files.write(file, content);
    } catch (error) {
      if (!isRclawError(error)) throw error;
      return { content: error.message, isError: true, details: { code: error.code } };
    }
    const bytes = Buffer.byteLength(content);
    return {
      content: `Wrote ${bytes} ${bytes === 1 ? "byte" : "bytes"} to "${file}".`,
      details: { path: file, bytes },
    };
  },
});

export default definePlugin({
  activate(ctx) {
    ctx.tools.register(write);
  },
});
