import path from "node:path";
import { defineMethod, isRclawError, type Method, RclawError } from "@rclaw/plugin-sdk";
import { agentIdOf, defaultAgentOf } from "@rclaw/plugin-sdk/services/agents";
import { readPlain } from "@rclaw/plugin-sdk/services/plain-file";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { agentIn, type Snapshot } from "./configuration.ts";
import type { RosterOptions } from "./files.ts";
import { identityParams } from "./methods.schema.ts";

export interface Identity {
  readonly name?: string | undefined;
  readonly avatar?: string | undefined;
  readonly emoji?: string | undefined;
}

const maxFileBytes = 65_536;
const longest = { name: 50, avatar: 200, emoji: 16 } as const;
/** What the protocol shows where nobody has said anything. */
const nobody = { name: "Assistant", avatar: "A" };

/** `agent.identity.get`: how a conversation's partner is shown. */
export function identityMethod({ context, configuration }: RosterOptions): Method {
  /** An unknown agent is shown too, as OpenClaw does, but no folder is made for it. */
  async function identityOf(agentId: string, snapshot: Snapshot): Promise<object> {
    const agent = agentIn(snapshot, agentId);
    const shown = valueAt(snapshot.config, "ui.assistant");
    const own = valueAt(agent?.entry, "identity");
    const file = agent ? await readIdentity(await context.sessions.workspace(agent.id)) : {};
    const pick = <T>(values: readonly unknown[], test: (value: unknown) => T | undefined): T | undefined => {
      for (const value of values) {
        const found = test(value);
        if (found !== undefined) return found;
      }
      return undefined;
    };
    const [ownEmoji, ownAvatar] = [valueAt(own, "emoji"), valueAt(own, "avatar")];
    const emoji = pick([ownEmoji, file.emoji, ownAvatar, file.avatar], asEmoji);
    return {
      agentId,
      name: pick([valueAt(shown, "name"), valueAt(own, "name"), file.name], asName) ?? nobody.name,
      avatar:
        pick([valueAt(shown, "avatar"), ownAvatar, ownEmoji, file.avatar, file.emoji], asAvatar) ??
        nobody.avatar,
      ...(emoji !== undefined && { emoji }),
    };
  }

  function agentOf(sessionKey: string, defaultAgent: string): string {
    const [kind = "", agent = "", rest = ""] = sessionKey.split(":");
    if (kind.toLowerCase() !== "agent") return defaultAgent;
    try {
      context.sessions.canonical(sessionKey);
    } catch (error) {
      if (!isRclawError(error)) throw error;
      throw invalid(`malformed session key "${sessionKey}"`);
    }
    if (rest === "") throw invalid(`malformed session key "${sessionKey}"`);
    return agentIdOf(agent);
  }

  return defineMethod({
    name: "agent.identity.get",
    since: "2026.2.17",
    params: identityParams,
    async handle({ params }) {
      const snapshot = await configuration.read();
      const defaultAgent = defaultAgentOf(snapshot.config);
      const asked = params.agentId?.trim() ?? "";
      const sessionKey = params.sessionKey?.trim() ?? "";
      if (sessionKey === "") return identityOf(asked ? agentIdOf(asked) : defaultAgent, snapshot);
      const agent = agentOf(sessionKey, defaultAgent);
      if (asked && agentIdOf(asked) !== agent)
        throw invalid(`agent "${asked}" does not match session key agent "${agent}"`);
      return identityOf(agent, snapshot);
    },
  });
}

/** What IDENTITY.md says of its agent, in lines such as "- **Name:** Ada". */
export function parseIdentity(text: string): Identity {
  const found: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, label = "", value = ""] = /^\s*(?:-\s*)?([^:]{1,40}):(.*)$/.exec(line) ?? [];
    const key = label.replaceAll(/[*_]/g, "").trim().toLowerCase();
    const plain = value.replaceAll(/^[*_\s]+|[*_\s]+$/g, "");
    // Templates explain in brackets what is to be filled in.
    if (plain !== "" && !/^[([].*[)\]]$/.test(plain)) found[key] = plain;
  }
  const { name, avatar, emoji } = found;
  return { name, avatar, emoji };
}

/** The text with these lines in it: in the place of those that were there, else at the end. */
export function withIdentity(text: string, identity: Identity): string {
  let result = text;
  for (const label of ["Name", "Emoji", "Avatar"] as const) {
    const value = identity[label.toLowerCase() as keyof Identity];
    if (value === undefined) continue;
    const line = `- ${label}: ${value}`;
    const old = new RegExp(`^[ \\t]*(?:-[ \\t]*)?[*_]*${label}[*_]*:.*$`, "im");
    const gap = result === "" || result.endsWith("\n") ? "" : "\n";
    result = old.test(result) ? result.replace(old, () => line) : `${result}${gap}${line}\n`;
  }
  return result;
}

async function readIdentity(workspace: string): Promise<Identity> {
  const file = await readPlain(path.join(workspace, "IDENTITY.md"), maxFileBytes);
  return file ? parseIdentity(file.text) : {};
}

function text(value: unknown, length: number): string | undefined {
  return typeof value === "string" && value.trim() ? value.trim().slice(0, length) : undefined;
}

const asName = (value: unknown): string | undefined => text(value, longest.name);

/** A web address, an image itself, or a sign. A file's path shows nothing: no page of ours serves it. */
function asAvatar(value: unknown): string | undefined {
  const avatar = text(value, longest.avatar);
  if (avatar === undefined) return undefined;
  if (/^(?:https?:\/\/|data:image\/)/i.test(avatar)) return avatar;
  return avatar.length <= 4 && !/[\s/\\]/.test(avatar) ? avatar : undefined;
}

function asEmoji(value: unknown): string | undefined {
  const emoji = text(value, Number.POSITIVE_INFINITY);
  if (emoji === undefined || emoji.length > longest.emoji) return undefined;
  return /[^\x20-\x7e]/.test(emoji) && !/[/\\]|^data:/i.test(emoji) ? emoji : undefined;
}

function invalid(reason: string): RclawError {
  return new RclawError("INVALID_REQUEST", `invalid agent.identity.get params: ${reason}`);
}
