import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { randomUUID } from "node:crypto";
import { type Caller, isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { createParams } from "./methods.schema.ts";

type CreateParams = Static<typeof createParams>;

/** A session in a place of its own, or another one's copy: rclaw's have one workspace and begin empty. */
const unknownHere = [
  ...(["fork", "forkFrom", "worktree", "worktreeSource", "worktreeBaseRef", "worktreeName"] as const),
  ...(["projectId", "projectGitUrl", "repository", "cwd", "execNode", "catalogId", "incognito"] as const),
  ...(["permissionMode", "toolOverrides", "agentRuntime", "contextWindow", "spawnDepth"] as const),
];
const patched = ["label", "category", "model", "thinkingLevel", "fastMode"] as const;
const maxRemembered = 1_000;

/** `sessions.create`: a session with its settings, and its first message where there is one. */
export function createSessions(
  { sessions, methods, signal }: PluginContext,
  keyOf: (given: string, agentId?: string) => string,
): (params: CreateParams, caller: Caller) => Promise<unknown> {
  const remembered = new Map<string, { readonly params: string; readonly answer: Promise<unknown> }>();

  async function create(params: CreateParams, caller: Caller): Promise<unknown> {
    const refused = unknownHere.find((name) => params[name] !== undefined && params[name] !== false);
    if (refused !== undefined)
      throw new RclawError("INVALID_REQUEST", `sessions.create ${refused} is not supported by this gateway`);
    const parent = await parentOf(params);
    const key = keyOf(params.key ?? `dashboard:${randomUUID()}`, params.agentId);
    const fields = Object.fromEntries(
      patched.flatMap((name) => (params[name] === undefined ? [] : [[name, params[name]] as const])),
    );
    const isNew = (await sessions.find(key)) === undefined;
    // Settings of a session that is there are for those who may patch it.
    const asOwner = isNew ? {} : { as: caller };
    const isAsked = isNew || Object.keys(fields).length > 0;
    const made = isAsked ? await methods.call("sessions.patch", { key, ...fields }, asOwner) : undefined;
    if (isNew) await describe(key, { parent, displayName: params.displayName });
    const entry = await sessions.find(key);
    const run = await firstTurn(key, params, caller);
    return {
      ok: true,
      key,
      sessionId: entry?.sessionId,
      entry,
      ...run,
      ...(isRecord(made) && { resolved: made["resolved"] }),
    };
  }

  async function parentOf({ parentSessionKey, agentId }: CreateParams): Promise<string | undefined> {
    if (parentSessionKey === undefined) return undefined;
    const parent = keyOf(parentSessionKey, /^agent:/i.test(parentSessionKey) ? undefined : agentId);
    if (await sessions.find(parent)) return parent;
    throw new RclawError("INVALID_REQUEST", `unknown parent session: ${parentSessionKey}`);
  }

  async function describe(
    key: string,
    {
      parent,
      displayName,
    }: { readonly parent: string | undefined; readonly displayName: string | undefined },
  ): Promise<void> {
    if (parent === undefined && displayName === undefined) return;
    const session = await sessions.open(key, signal);
    try {
      await session.patch({
        ...(parent !== undefined && { parentSessionKey: parent }),
        ...(displayName !== undefined && { displayName: displayName.trim() }),
      });
    } finally {
      await session[Symbol.asyncDispose]();
    }
  }

  /** The session exists whether or not its first message is taken. */
  async function firstTurn(key: string, params: CreateParams, caller: Caller): Promise<object> {
    const { task, message = "", attachments, timeoutMs } = params;
    const text = task?.trim() ? task : message;
    if (text.trim() === "" && !attachments?.length) return { runStarted: false };
    const turn = {
      sessionKey: key,
      message: text,
      idempotencyKey: randomUUID(),
      ...(attachments && { attachments }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    };
    try {
      const answer = await methods.call("chat.send", turn, { as: caller });
      return {
        runStarted: isRecord(answer) && answer["status"] === "started",
        ...(isRecord(answer) && answer),
      };
    } catch (error) {
      if (!isRclawError(error)) throw error;
      const code = error.code === "INVALID_REQUEST" ? "INVALID_REQUEST" : "UNAVAILABLE";
      return { runStarted: false, runError: { code, message: error.message } };
    }
  }

  return (params, caller) => {
    const { idempotencyKey, ...rest } = params;
    if (idempotencyKey === undefined) return create(params, caller);
    const name = `${caller.principal}\n${idempotencyKey}`;
    const same = JSON.stringify(rest);
    const before = remembered.get(name);
    if (before?.params === same) return before.answer;
    if (before)
      throw new RclawError(
        "INVALID_REQUEST",
        "session creation idempotency key was reused with different parameters",
      );
    const answer = create(params, caller);
    remembered.set(name, { params: same, answer });
    answer.catch(() => remembered.delete(name));
    for (const oldest of remembered.keys()) {
      if (remembered.size <= maxRemembered) break;
      remembered.delete(oldest);
    }
    return answer;
  };
}
