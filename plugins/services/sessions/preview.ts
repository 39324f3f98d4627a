import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { SessionEntry, TranscriptEntry } from "@rclaw/plugin-sdk";
import { withoutHead } from "@rclaw/plugin-sdk/services/message-head";
import type { SessionStore } from "./store.ts";

export interface PreviewItem {
  readonly role: "user" | "assistant" | "tool" | "system" | "other";
  readonly text: string;
}

/** What a list of sessions shows of their content. */
export interface Glimpse {
  readonly firstQuestion: string | undefined;
  readonly lastMessage: string | undefined;
}

/** However much is asked for: a preview of every session at once must stay small. */
const maxItems = 50;
const maxItemChars = 2_000;
const maxPreviewBytes = 1_048_576;
const maxTitle = 60;
const maxGlimpse = 240;

/** Reads titles and last messages, and remembers them until a session changes: a list of a thousand is asked for often. */
export class Glimpses {
  readonly #store: SessionStore;
  readonly #known = new Map<
    string,
    { readonly version: number; readonly sessionId: string; readonly glimpse: Glimpse }
  >();

  constructor(store: SessionStore) {
    this.#store = store;
  }

  async of(key: string, sessionId: string): Promise<Glimpse> {
    const version = this.#store.version(key);
    const known = this.#known.get(key);
    if (known?.version === version) return known.glimpse;
    // The first question stays the first, as long as the transcript is the same.
    const first = known?.sessionId === sessionId ? known.glimpse.firstQuestion : undefined;
    const glimpse = { firstQuestion: first ?? (await this.#first(key)), lastMessage: await this.#last(key) };
    this.#known.set(key, { version, sessionId, glimpse });
    return glimpse;
  }

  /** Forgets sessions that are gone. */
  keep(keys: ReadonlySet<string>): void {
    if (this.#known.size <= keys.size) return;
    for (const key of this.#known.keys()) if (!keys.has(key)) this.#known.delete(key);
  }

  async #first(key: string): Promise<string | undefined> {
    let found: string | undefined;
    await this.#store.head(key, (entry) => {
      const item = itemOf(entry);
      if (item?.role === "user") found = item.text.slice(0, 1_000);
      return found !== undefined;
    });
    return found;
  }

  async #last(key: string): Promise<string | undefined> {
    for (const limit of [4, 32]) {
      const entries = await this.#store.tail(key, limit, maxPreviewBytes);
      const said = entries
        .map(itemOf)
        .findLast((item) => item?.role === "user" || item?.role === "assistant");
      if (said) return shorten(said.text, maxGlimpse);
      if (entries.length < limit) return undefined;
    }
    return undefined;
  }
}

/** A name for a session that nobody named. */
export function titleOf(entry: SessionEntry, firstQuestion: string | undefined): string | undefined {
  const named = entry.displayName ?? entry["subject"];
  if (typeof named === "string" && named.trim() !== "") return named.trim();
  const question = firstQuestion?.replaceAll(/\s+/g, " ").trim();
  if (!question) return undefined;
  if (question.length <= maxTitle) return question;
  const cut = start(question, maxTitle - 1);
  const blank = cut.lastIndexOf(" ");
  return `${blank > maxTitle / 2 ? cut.slice(0, blank) : cut}…`;
}

/** The last things said, for `sessions.preview`. */
export async function previewItems(
  store: SessionStore,
  key: string,
  { limit, maxChars }: { limit: number; maxChars: number },
): Promise<PreviewItem[]> {
  const count = Math.min(limit, maxItems);
  const chars = Math.min(maxChars, maxItemChars);
  const entries = await store.tail(key, count * 3, maxPreviewBytes);
  const items = entries.map(itemOf).filter((item) => item !== undefined);
  return items.slice(-count).map(({ role, text }) => ({ role, text: shorten(text, chars) }));
}

function itemOf(entry: TranscriptEntry): PreviewItem | undefined {
  const message = entry["message"];
  if (entry.type !== "message" || !isRecord(message)) return undefined;
  const role = roleOf(message["role"]);
  const whole = textOf(message["content"]);
  const said = (role === "user" ? withoutHead(whole) : whole).trim();
  if (said !== "") return { role, text: said };
  const calls = callsIn(message["content"]);
  return calls.length > 0 ? { role: "tool", text: `call ${calls.join(", ")}` } : undefined;
}

function roleOf(role: unknown): PreviewItem["role"] {
  if (role === "user" || role === "assistant" || role === "tool" || role === "system") return role;
  return role === "toolResult" ? "tool" : "other";
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((block: unknown) => {
      if (!isRecord(block)) return "";
      if (block["type"] === "tool_result" && typeof block["content"] === "string") return block["content"];
      return block["type"] === "text" && typeof block["text"] === "string" ? block["text"] : "";
    })
    .filter((part) => part !== "")
    .join("\n");
}

function callsIn(content: unknown): readonly string[] {
  if (!Array.isArray(content)) return [];
  return content.flatMap((block: unknown) => {
    const isCall = isRecord(block) && (block["type"] === "tool_use" || block["type"] === "toolCall");
    return isCall && typeof block["name"] === "string" ? [block["name"]] : [];
  });
}

function shorten(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${start(text, maxChars - 3).trimEnd()}...`;
}

/** Never half of a character: strict JSON readers refuse the whole answer for it. */
function start(text: string, length: number): string {
  return text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}
