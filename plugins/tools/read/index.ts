import { definePlugin, defineTool, type Files, isRclawError, type ToolResult } from "@rclaw/plugin-sdk";
import { counted, pageOf, pageOfLarge, type Wanted } from "./page.ts";
import { readParams } from "./read.schema.ts";
import { decode } from "./text.ts";

const maxEntries = 1000;
const pieceBytes = 1024 * 1024;

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
      if (bytes.length === 0) return { content: `"${file}" is empty.` };
      const decoded = decode(bytes);
      if ("binary" in decoded) return { content: notShown(file, decoded.binary, bytes.length) };
      return {
        content: pageOf(decoded.text, { offset, limit }),
        details: { path: file, bytes: bytes.length },
      };
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal.details.code === "TOO_LARGE")
        return await largeOr(error, file, { files, signal, offset, limit });
      return await folderOr(refusal, file, { files, offset, limit });
    }
  },
});

const notShown = (file: string, what: string, bytes: number) =>
  `"${file}" (${counted(bytes, "byte")}) is ${what}, so it is not shown.`;

type Reading = Wanted & { readonly files: Files; readonly signal: AbortSignal };

async function largeOr(
  error: unknown,
  file: string,
  { files, signal, offset, limit }: Reading,
): Promise<ToolResult> {
  const read = (from: number) => {
    signal.throwIfAborted();
    return files.read(file, { from, maxBytes: pieceBytes });
  };
  const bytes = (isRclawError(error) && (error.details as { size?: number }).size) || 0;
  try {
    const decoded = decode(await read(0), { partial: true });
    if ("binary" in decoded) return { content: notShown(file, decoded.binary, bytes) };
    return { content: await pageOfLarge(read, { offset, limit }), details: { path: file, bytes } };
  } catch (failure) {
    return asRefusal(failure);
  }
}

function asRefusal(error: unknown): ToolResult & { readonly details: { readonly code: string } } {
  if (!isRclawError(error)) throw error;
  return { content: error.message, isError: true, details: { code: error.code } };
}

/** A folder is found out by trying to read it: asking first would be one more race. */
async function folderOr(
  refusal: ReturnType<typeof asRefusal>,
  file: string,
  { files, offset = 1, limit = maxEntries }: Wanted & { readonly files: Files },
): Promise<ToolResult> {
  if (refusal.details.code !== "NOT_REGULAR_FILE") return refusal;
  const entries = await files.list(file).catch(() => undefined);
  if (entries === undefined) return refusal;
  const shown = entries.slice(offset - 1, offset - 1 + Math.min(limit, maxEntries));
  const lines = shown.map(({ name, kind, size }) =>
    kind === "folder" ? `${name}/` : kind === "file" ? `${name}  ${size}` : `${name}  (link or special file)`,
  );
  const end = offset - 1 + shown.length;
  const rest =
    end < entries.length
      ? [`[Entries ${offset}-${end} of ${entries.length}. Continue with offset ${end + 1}.]`]
      : [];
  return {
    content: [
      `"${file}" is a folder with ${entries.length === 1 ? "1 entry:" : entries.length === 0 ? "nothing in it." : `${entries.length} entries:`}`,
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
