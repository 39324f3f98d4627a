import { createHash } from "node:crypto";
import { RclawError } from "./index.ts";

export interface KeyRules {
  readonly defaultAgentId: string;
  /** What the last part of an agent's own session is called; "main" unless configured. */
  readonly mainKey: string;
  /** "global" puts everybody into one session called `global`. */
  readonly scope?: "per-sender" | "global";
}

export type DmScope = "main" | "per-peer" | "per-channel-peer" | "per-account-channel-peer";

export interface ChannelPlace {
  readonly agentId: string;
  readonly mainKey: string;
  readonly dmScope: DmScope;
  readonly channel: string;
  readonly accountId: string;
  readonly chatType: "direct" | "group" | "channel";
  readonly peerId: string;
  readonly threadId?: string | undefined;
  /** Who the peer of a direct chat is known to be, under whatever address. */
  readonly person?: string | undefined;
}

export interface ParsedKey {
  /** Undefined for `global` and `unknown`, which belong to no agent. */
  readonly agentId: string | undefined;
  readonly rest: string;
  readonly kind: "direct" | "group" | "global" | "unknown";
  readonly channel?: string;
}

const maxLength = 512;
const agentIdPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/;
// Controls, invisible format characters, lone surrogates and line separators: two keys must not look alike.
const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Any spelling of a session key to its only one: `main`, `agent:main:main` and a full-width `MAIN` are the same session. */
export function canonicalKey(raw: string, rules: KeyRules): string {
  const key = fold(raw);
  if (key === "global" || key === "unknown") return key;
  const mainKey = fold(rules.mainKey);
  if (key === "main" || key === mainKey) return mainSession(rules.defaultAgentId, mainKey, rules);
  if (!key.startsWith("agent:")) return checked(`agent:${rules.defaultAgentId}:${key}`);

  const [, agentId = "", ...rest] = key.split(":");
  if (!agentIdPattern.test(agentId) || !rest[0]) {
    throw refused(
      `malformed session key "${shown(key)}": use agent:<agentId>:<name>, with letters, digits, - and _ in the agent's id`,
    );
  }
  if (rest.length === 1 && (rest[0] === "main" || rest[0] === mainKey))
    return mainSession(agentId, mainKey, rules);
  return key;
}

/** The agent's own session, which cannot be deleted. */
export function mainSessionKey(rules: KeyRules): string {
  return canonicalKey("main", rules);
}

/**
 * The session a channel's message belongs to. Ids are escaped, so that no two peers,
 * accounts or threads can ever name the same session, whatever characters they hold. A known
 * person has one session on all channels, unless each bot's conversations are kept apart.
 */
export function channelSessionKey({
  agentId,
  mainKey,
  dmScope,
  channel,
  accountId,
  chatType,
  peerId,
  threadId,
  person,
}: ChannelPlace): string {
  const thread = threadId === undefined ? "" : `:thread:${escapeId(threadId)}`;
  const agent = `agent:${agentId}`;
  if (chatType !== "direct") return `${agent}:${escapeId(channel)}:${chatType}:${escapeId(peerId)}${thread}`;
  // "=" is escaped in every id, so nobody becomes a known person by what their own id is.
  const peer = `direct:${person === undefined ? escapeId(peerId) : `=${escapeId(person)}`}${thread}`;
  const isOnePerson = person !== undefined && dmScope === "per-channel-peer";
  if (dmScope === "per-peer" || isOnePerson) return `${agent}:${peer}`;
  if (dmScope === "per-channel-peer") return `${agent}:${escapeId(channel)}:${peer}`;
  if (dmScope === "per-account-channel-peer")
    return `${agent}:${escapeId(channel)}:${escapeId(accountId)}:${peer}`;
  return `${agent}:${mainKey}${thread}`;
}

/** Reads a canonical key. */
export function parseKey(key: string): ParsedKey {
  if (key === "global" || key === "unknown") return { agentId: undefined, rest: key, kind: key };
  const [, agentId, ...parts] = key.split(":");
  const rest = parts.join(":");
  // An account may be called "group", and a peer anything: only the number of parts tells these apart.
  const ofAccount = parts[2] === "direct" && (parts.length === 4 || parts.length === 6);
  const isGroup = parts[0] !== "direct" && !ofAccount && (parts[1] === "group" || parts[1] === "channel");
  const isDirect = parts[0] !== "direct" && (ofAccount || parts[1] === "direct");
  const channel = isGroup || isDirect ? parts[0] : undefined;
  return { agentId, rest, kind: isGroup ? "group" : "direct", ...(channel !== undefined && { channel }) };
}

/** Names a session's files. A hash, so that no key can reach another file. */
export function transcriptHash(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 32);
}

function mainSession(agentId: string, mainKey: string, { scope }: KeyRules): string {
  return scope === "global" ? "global" : `agent:${agentId}:${mainKey}`;
}

function fold(raw: string): string {
  if (typeof raw !== "string") throw refused("a session key must be a string");
  // Before folding as well: one character may become eighteen.
  if (raw.length > maxLength) throw tooLong();
  let key = raw.trim();
  // Lower case may undo the normal form and the other way round; the loop ends at a spelling that is both.
  for (let pass = 0; ; pass++) {
    const next = key.normalize("NFKC").toLowerCase().trim();
    if (next === key) break;
    if (pass > 4)
      throw refused(`session key "${shown(raw)}" has no stable lower-case form; use plain letters`);
    key = next;
  }
  return checked(key);
}

function checked(key: string): string {
  if (key === "") throw refused("a session key must not be empty");
  if (key.length > maxLength) throw tooLong();
  if (hidden.test(key))
    throw refused(`session key "${shown(key)}" holds control or invisible characters; remove them`);
  if (key.includes("..")) throw refused(`session key "${shown(key)}" must not contain ".."`);
  if (/(^|[:./\\])__proto__($|[:./\\])/.test(key))
    throw refused(`session key "${shown(key)}" must not contain "__proto__"`);
  return key;
}

/**
 * Percent-escapes everything but `a-z 0-9 _ + @ # -` and single dots. Capitals are escaped
 * too, because keys are folded to lower case and some platforms' ids differ only by case.
 */
function escapeId(id: string): string {
  let out = "";
  for (const byte of Buffer.from(id)) {
    const char = String.fromCharCode(byte);
    const plain = /[a-z0-9_+@#-]/.test(char) || (char === "." && out !== "" && !out.endsWith("."));
    out += plain ? char : `%${byte.toString(16).padStart(2, "0")}`;
  }
  if (out === "__proto__") return "%5f_proto__";
  // "~" is escaped above, so a hashed id never meets a spelled-out one.
  return out.length > 120 ? `~${createHash("sha256").update(id).digest("hex")}` : out;
}

function tooLong(): RclawError {
  return refused(`a session key may have ${maxLength} characters at most`);
}

function refused(message: string): RclawError {
  return new RclawError("INVALID_REQUEST", message);
}

function shown(key: string): string {
  return key.slice(0, 80).replaceAll(/[^\x20-\x7e]/g, "?");
}
