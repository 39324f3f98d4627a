import { definePlugin, defineTool, type Files, isRclawError, type ToolResult } from "@rclaw/plugin-sdk";
import { binaryKind, counted, pageOf } from "./page.ts";
import { readParams } from "./read.schema.ts";

const maxEntries = 1000;

const read = defineTool({
  name: "read",
  description:
    "Read a text file of the workspace, or list a folder. Long files come in pages of 2,000 lines or 50 KB; use offset and limit for the rest.",
  params: readParams,
  paths: ["path", "file_path"],
  async execute({ path, file_path, offset, limit }, { files, signal }) {
    const file = path ?? file_path;
    if (file === undefined) return { content: 'Say which file to read: "path" is missing.', isError: true };
    signal.throwIfAborted();
    try {
      const bytes = await files.read(file);
      const kind = binaryKind(bytes);
      if (kind !== undefined)
        return { content: `"${file}" is a ${kind} of ${counted(bytes.length, "byte")}, so it is not shown.` };
      if (bytes.length === 0) return { content: `"${file}" is empty.` };
      return {
        content: pageOf(new TextDecoder().decode(bytes), { offset, limit }),
        details: { path: file, bytes: bytes.length },
      };
    } catch (error) {
      return await folderOr(asRefusal(error), file, files);
    }
  },
});

function asRefusal(error: unknown): ToolResult & { readonly details: { readonly code: string } } {
  if (!isRclawError(error)) throw error;
  return { content: error.message, isError: true, details: { code: error.code } };
}

/** A folder is found out by trying to read it: asking first would be one more race. */
async function folderOr(
  refusal: ReturnType<typeof asRefusal>,
  file: string,
  files: Files,
): Promise<ToolResult> {
  if (refusal.details.code !== "NOT_REGULAR_FILE") return refusal;
  const entries = await files.list(file).catch(() => undefined);
  if (entries === undefined) return refusal;
  const lines = entries
    .slice(0, maxEntries)
    .map(({ name, kind, size }) =>
      kind === "folder"
        ? `${name}/`
        : kind === "file"
          ? `${name}  ${size}`
          : `${name}  (link or special file)`,
    );
  const rest =
    entries.length > maxEntries ? [`[${entries.length - maxEntries} more entries are not shown.]`] : [];
  return {
    content: [
      `"${file}" is a folder with ${entries.length === 1 ? "1 entry" : `${entries.length} entries`}:`,
      ...lines,
      ...rest,
    ].join("\n"),
  };
}

export default definePlugin({
  activate(ctx) {
    ctx.tools.register(read);
  },
});
