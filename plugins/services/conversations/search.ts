import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { withoutHead } from "@rclaw/plugin-sdk/services/message-head";
import { type Caller, type PluginContext, RclawError, type TranscriptEntry } from "@rclaw/plugin-sdk";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import type { Static } from "typebox";
import { messageIn } from "./messages.ts";
import type { searchParams } from "./methods.schema.ts";

type SearchParams = Static<typeof searchParams>;
type Row = Readonly<Record<string, unknown>> & { readonly key: string };

interface Hit {
  readonly sessionKey: string;
  readonly sessionId: string;
  readonly messageId: string;
  readonly role: "user" | "assistant";
  readonly timestamp: number;
  readonly snippet: string;
  readonly score: number;
}

const maxSessions = 500;
const maxEntries = 5_000;
/** Of one session: a word that stands everywhere must not crowd out the other sessions. */
const maxHits = 25;
const maxWaiting = 8;
const deadlineMs = 4_000;
const around = 90;

/** `sessions.search`: messages with these words. Nothing is kept for it: transcripts are read, newest session first. */
export function createSearch(
  { sessions, methods }: PluginContext,
  { keyOf, now }: { keyOf(given: string, agentId?: string): string; now(): number },
) {
  const inTurn = createTurns();
  let waiting = 0;

  async function rowsFor(
    { scope, sessionKeys, agentId }: SearchParams,
    as: Caller,
  ): Promise<{ readonly rows: readonly Row[]; readonly isWhole: boolean }> {
    if (sessionKeys === undefined && agentId !== undefined)
      throw new RclawError("INVALID_REQUEST", "agentId requires sessionKeys");
    if (sessionKeys === undefined) {
      const answer = await methods.call("sessions.list", { ...scope, limit: maxSessions }, { as });
      const list: unknown = isRecord(answer) ? answer["sessions"] : undefined;
      const rows = Array.isArray(list) ? list.filter(isRow) : [];
      return { rows, isWhole: !(isRecord(answer) && answer["hasMore"] === true) };
    }
    const rows: Row[] = [];
    for (const given of sessionKeys) {
      const key = keyOf(given, agentId);
      const entry = await sessions.find(key);
      if (entry) rows.push({ ...entry, key });
    }
    return { rows, isWhole: true };
  }

  async function search(params: SearchParams, caller: Caller, signal: AbortSignal): Promise<object> {
    const wanted = wordsOf(params.query);
    if (wanted.length === 0) throw new RclawError("INVALID_REQUEST", "query must not be empty");
    const { rows, isWhole } = await rowsFor(params, caller);
    const until = now() + deadlineMs;
    const hits: Hit[] = [];
    let isCut = !isWhole;
    for (const { key, sessionId } of rows) {
      if (signal.aborted || now() > until) {
        isCut = true;
        break;
      }
      const entries = await sessions.tail(key, maxEntries).catch(() => []);
      const found = hitsIn(entries, wanted).map((hit) => ({
        sessionKey: key,
        sessionId: String(sessionId),
        ...hit,
      }));
      isCut ||= found.length > maxHits || entries.length >= maxEntries;
      hits.push(...found.slice(0, maxHits));
    }
    const { limit = 10 } = params;
    hits.sort((a, b) => b.score - a.score || b.timestamp - a.timestamp);
    const results = hits.slice(0, limit);
    const shown = new Set(results.map(({ sessionKey }) => sessionKey));
    return {
      results,
      ...(params.scope && { sessions: rows.filter(({ key }) => shown.has(key)) }),
      ...((isCut || hits.length > limit) && { truncated: true }),
    };
  }

  /** One at a time: each reads as much as there is. */
  return (params: SearchParams, caller: Caller, signal: AbortSignal): Promise<object> => {
    if (waiting >= maxWaiting)
      throw new RclawError("RATE_LIMITED", "other searches are under way; search again in a moment", {
        retryable: true,
        details: { retryAfterMs: 1_000 },
      });
    waiting++;
    return inTurn(() => search(params, caller, signal)).finally(() => waiting--);
  };
}

const isRow = (row: unknown): row is Row => isRecord(row) && typeof row["key"] === "string";

/** What stands in quotes belongs together; everything else is a word by itself, and all have to be there. */
function wordsOf(query: string): readonly string[] {
  const found = query.toLowerCase().matchAll(/"([^"]+)"|(\S+)/g);
  return [...found].map(([, phrase, word]) => (phrase ?? word ?? "").trim()).filter((word) => word !== "");
}

function hitsIn(
  entries: readonly TranscriptEntry[],
  wanted: readonly string[],
): readonly Omit<Hit, "sessionKey" | "sessionId">[] {
  return entries.toReversed().flatMap((entry) => {
    const message = messageIn(entry);
    const role = message?.["role"];
    if (!message || (role !== "user" && role !== "assistant")) return [];
    const text = textOf(message["content"], role);
    const low = text.toLowerCase();
    if (!wanted.every((word) => low.includes(word))) return [];
    const said = message["timestamp"];
    const timestamp =
      typeof said === "number" ? Math.max(0, Math.floor(said)) : Date.parse(entry.timestamp) || 0;
    const score = wanted.reduce((sum, word) => sum + low.split(word).length - 1, 0);
    return [
      { messageId: entry.id, role, timestamp, snippet: snippetOf(text, low.indexOf(wanted[0] ?? "")), score },
    ];
  });
}

function textOf(content: unknown, role: string): string {
  const own = (text: string): string => (role === "user" ? withoutHead(text) : text);
  if (typeof content === "string") return own(content);
  if (!Array.isArray(content)) return "";
  return content
    .flatMap((block: unknown) =>
      isRecord(block) && block["type"] === "text" && typeof block["text"] === "string"
        ? [own(block["text"])]
        : [],
    )
    .join("\n");
}

/** Some words on either side, and never half a character. */
function snippetOf(text: string, at: number): string {
  const from = Math.max(0, at - around);
  const to = Math.min(text.length, at + around * 2);
  const cut = text
    .slice(from, to)
    .replace(/^[\udc00-\udfff]/, "")
    .replace(/[\ud800-\udbff]$/, "");
  return `${from > 0 ? "…" : ""}${cut.replaceAll(/\s+/g, " ").trim()}${to < text.length ? "…" : ""}`;
}
