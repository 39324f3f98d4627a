import { randomUUID } from "node:crypto";
import type { Files } from "@rclaw/plugin-sdk";

const kinds: Readonly<Record<string, string>> = {
  jpg: "jpg",
  jpeg: "jpg",
  png: "png",
  mp4: "mp4",
  mov: "mov",
};

/** Writes what a camera or a screen gave into the workspace; the path is what the model gets to know. */
export async function saveMedia(
  payload: unknown,
  what: string,
  files: Files,
): Promise<{ readonly path: string; readonly bytes: number } | undefined> {
  if (typeof payload !== "object" || payload === null) return undefined;
  const { base64, format } = payload as { base64?: unknown; format?: unknown };
  const ending = typeof format === "string" ? kinds[format.toLowerCase()] : undefined;
  if (typeof base64 !== "string" || ending === undefined) return undefined;
  const data = Buffer.from(base64, "base64");
  const path = `nodes/${what}-${randomUUID()}.${ending}`;
  await files.write(path, data);
  return { path, bytes: data.length };
}
