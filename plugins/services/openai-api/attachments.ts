import { refused } from "./answers.ts";

export interface Attachment {
  readonly type: "image";
  readonly mimeType: string;
  readonly content: string;
}

/** A model needs a word beside a picture. */
export const imageOnly = "User sent image(s) with no text.";
const maxImages = 8;
const maxFileChars = 200_000;

type Part = Readonly<Record<string, unknown>>;

const dataUrl = (url: string): { mimeType: string; data: string } | undefined => {
  const [, mimeType, data] = /^data:([^;,]+)(?:;[^;,]+)*;base64,(.+)$/is.exec(url.trim()) ?? [];
  return mimeType === undefined || data === undefined
    ? undefined
    : { mimeType: mimeType.toLowerCase(), data };
};

/** What a part carries: OpenAI's data address, or OpenResponses' `source`. An address elsewhere is fetched for nobody. */
function dataOf(part: Part, address: unknown): { mimeType: string; data: string } {
  const { type, media_type: mimeType, data } = (part["source"] ?? {}) as Part;
  if (type === "base64" && typeof mimeType === "string" && typeof data === "string")
    return { mimeType: mimeType.toLowerCase(), data };
  const url: unknown = typeof address === "object" && address !== null ? (address as Part)["url"] : address;
  const found = typeof url === "string" ? dataUrl(url) : undefined;
  if (found) return found;
  throw refused(
    `${String(part["type"])}: send the data itself, as data:<type>;base64,...; addresses are not fetched`,
  );
}

/** The pictures of one message. */
export function imagesIn(content: unknown): Attachment[] {
  if (!Array.isArray(content)) return [];
  const parts = (content as Part[]).filter(
    (part) => part?.["type"] === "image_url" || part?.["type"] === "input_image",
  );
  if (parts.length > maxImages) throw refused(`more than ${maxImages} pictures in one message`);
  return parts.map((part) => {
    const { mimeType, data } = dataOf(part, part["image_url"]);
    if (!/^image\/(?:png|jpe?g|gif|webp)$/.test(mimeType))
      throw refused(
        `${String(part["type"])}: ${mimeType} is no picture that is understood (PNG, JPEG, GIF, WebP)`,
      );
    return { type: "image", mimeType, content: data };
  });
}

/** The text files of one message, as text that says which file it is. */
export function filesIn(content: unknown): string {
  if (!Array.isArray(content)) return "";
  const parts = (content as Part[]).filter((part) => part?.["type"] === "input_file");
  const texts = parts.map((part) => {
    const { mimeType, data } = dataOf(part, part["file_data"]);
    const { filename } = (part["source"] ?? part) as Part;
    const name = (typeof filename === "string" ? filename : "file")
      .replaceAll(/[^\p{L}\p{N}._ -]/gu, "_")
      .slice(0, 128);
    if (!/^text\/|^application\/(?:json|xml|x-?yaml)\b/.test(mimeType))
      throw refused(`input_file: ${name} is ${mimeType}; only text can be read`);
    const text = Buffer.from(data, "base64").toString("utf8");
    if (text.length > maxFileChars)
      throw refused(`input_file: ${name} has more than ${maxFileChars} characters`);
    return `<file name="${name}">\n${text.replaceAll(/<(?=\/?file\b)/gi, "&lt;")}\n</file>`;
  });
  return texts.join("\n\n");
}
