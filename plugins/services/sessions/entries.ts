import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { type SessionEntry, type TranscriptEntry } from "@rclaw/plugin-sdk";
import { type Line, openLine } from "./lines.ts";
import type { BadLine } from "./quarantine.ts";

/** Our own bookkeeping inside a transcript: changes of the session's entry, never shown to a model. */
export const entryChange = "rclaw.session";
const changeMark = Buffer.from(`"customType":"${entryChange}"`);

// OpenClaw's roles. A line with another one, such as an inserted "system", must not reach a model.
const roles = new Set([
  "user",
  "assistant",
  "toolResult",
  "tool",
  "bashExecution",
  "custom",
  "branchSummary",
  "compactionSummary",
]);

export function isEntryChange(value: Readonly<Record<string, unknown>>): boolean {
  return value["type"] === "custom" && value["customType"] === entryChange;
}

/** A change that stands before every entry. */
export function entryChangeBody({
  id,
  timestamp,
  data,
}: {
  readonly id: string;
  readonly timestamp: string;
  readonly data: object;
}): string {
  return JSON.stringify({
    type: "custom",
    id,
    parentId: null,
    timestamp,
    customType: entryChange,
    data,
  });
}

/** Cheap: tells most lines apart without parsing them. */
export function mayBeEntryChange(bytes: Buffer): boolean {
  return bytes.includes(changeMark);
}

export function hasKnownRole(entry: Readonly<Record<string, unknown>>): boolean {
  const message = entry["message"];
  if (entry["type"] !== "message" || !isRecord(message)) return true;
  return typeof message["role"] === "string" && roles.has(message["role"]);
}

export type ReadLine =
  | { readonly kind: "entry"; readonly entry: TranscriptEntry }
  | { readonly kind: "change"; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: "header"; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: "bad"; readonly bad: BadLine };

/** Reads one line of a transcript, or says what is wrong with it. */
export function readLine({ bytes, offset, length }: Line, strict: boolean): ReadLine {
  const bad = (reason: string): ReadLine => ({
    kind: "bad",
    bad: { offset, length, reason, bytes: bytes && Buffer.from(bytes) },
  });
  if (!bytes) return bad(`${length} bytes in one line are more than can be read`);
  const opened = openLine(bytes, strict);
  if (!opened.ok) return bad(opened.reason);
  const { value } = opened;
  if (value["type"] === "session") return { kind: "header", value };
  if (!isTranscriptEntry(value)) return bad("not a transcript entry");
  if (isEntryChange(value)) return { kind: "change", value };
  if (!hasKnownRole(value)) return bad("a message with an unknown role");
  return { kind: "entry", entry: value };
}

/** Applies a change: `null` removes a field. */
export function changed(
  entry: SessionEntry,
  fields: Readonly<Record<string, unknown>>,
  updatedAt: number,
): SessionEntry {
  const next = new Map<string, unknown>(Object.entries(entry));
  next.set("updatedAt", updatedAt);
  for (const [name, value] of Object.entries(fields)) {
    if (name === "key" || name === "sessionId") continue;
    if (value === null || value === undefined) next.delete(name);
    else next.set(name, value);
  }
  // fromEntries defines properties, so a field called __proto__ is only a field.
  return Object.fromEntries(next) as unknown as SessionEntry;
}

export function timeOf(value: Readonly<Record<string, unknown>>): number | undefined {
  const time = typeof value["timestamp"] === "string" ? Date.parse(value["timestamp"]) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

function isTranscriptEntry(value: Readonly<Record<string, unknown>>): value is TranscriptEntry {
  return typeof value["type"] === "string" && typeof value["id"] === "string";
}
