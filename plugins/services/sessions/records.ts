import { createHash } from "node:crypto";
import type { Run } from "@rclaw/plugin-sdk";
import { seal, sealAround } from "./lines.ts";

/** What the journal holds: a transcript's line, the end of a transcript, or a step of a run. */
export type JournalRecord =
  | { readonly kind: "line"; readonly hash: string; readonly generation: string; readonly line: Buffer }
  | {
      readonly kind: "end";
      readonly hash: string;
      readonly generation: string;
      readonly archive: string | null;
    }
  | { readonly kind: "accept"; readonly run: Run; readonly paramsHash: string }
  | { readonly kind: "mark"; readonly mark: RunMark };

export type RunMark = Pick<Run, "id" | "method" | "principal" | "state"> & {
  readonly at: number;
  readonly error?: string;
};

// `{"s":"<32 hex>","g":"<16 hex>","e":` and `,"crc":"xxxxxxxx"}`: fixed, so that replay need not parse the line inside.
const lineStart = 67;
const sealLength = 18;

/** Tells the transcripts apart that a session had one after another under the same file name. */
export function generationOf(sessionId: string): string {
  return createHash("sha256").update(sessionId).digest("hex").slice(0, 16);
}

export function lineRecord(hash: string, generation: string, line: string): string {
  return `${sealAround(`{"s":"${hash}","g":"${generation}","e":`, line)}\n`;
}

export function endRecord(hash: string, generation: string, archive: string | null): string {
  return `${seal(JSON.stringify({ s: hash, g: generation, end: archive }))}\n`;
}

export function acceptRecord(run: Run, paramsHash: string, redact: (json: string) => string): string {
  return `${seal(redact(JSON.stringify({ accept: run, paramsHash })))}\n`;
}

export function markRecord(mark: RunMark): string {
  return `${seal(JSON.stringify({ mark }))}\n`;
}

/** Reads a line whose checksum was found right. */
export function readRecord(bytes: Buffer): JournalRecord | undefined {
  const start = bytes.toString("latin1", 0, lineStart);
  if (start.startsWith('{"s":"') && start.endsWith('","e":')) {
    const line = Buffer.from(bytes.subarray(lineStart, bytes.length - sealLength));
    return { kind: "line", hash: start.slice(6, 38), generation: start.slice(45, 61), line };
  }
  const value = JSON.parse(bytes.toString()) as {
    s?: string;
    g?: string;
    end?: string | null;
    accept?: Run;
    paramsHash?: string;
    mark?: RunMark;
  };
  if (value.accept) return { kind: "accept", run: value.accept, paramsHash: value.paramsHash ?? "" };
  if (value.mark) return { kind: "mark", mark: value.mark };
  if (value.s !== undefined && value.g !== undefined)
    return { kind: "end", hash: value.s, generation: value.g, archive: value.end ?? null };
  return undefined;
}
