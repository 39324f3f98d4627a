import { randomUUID } from "node:crypto";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { LiveNode } from "./live.ts";
import { createRecent } from "./recent.ts";
import type { Subscriptions } from "./subscriptions.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface NodeEventsOptions {
  readonly context: Pick<PluginContext, "log" | "signal" | "methods" | "sessions" | "channels" | "storage">;
  readonly subscriptions: Subscriptions;
  now(): number;
}

const maxMessage = 20_000;
const maxOutput = 180;
const maxPushNodes = 256;
const voiceAgainMs = 1_500;
const execAgainMs = 600_000;

/** What nodes tell of themselves, by name. What is not known here is ignored, as the protocol has it. */
export function createNodeEvents({ context, subscriptions, now }: NodeEventsOptions) {
  const { log, signal, methods, sessions, channels, storage } = context;
  const spoken = createRecent({ keptMs: voiceAgainMs, max: 200, now });
  const finished = createRecent({ keptMs: execAgainMs, max: 2_000, now });

  function canonical(key: string | undefined): string | undefined {
    if (key === undefined) return undefined;
    try {
      return sessions.canonical(key);
    } catch {
      return undefined;
    }
  }

  /** Resolves when the run is accepted, and with that durable; how it ends, its session shows. */
  function start(nodeId: string, params: Fields): Promise<void> {
    return new Promise((resolve) => {
      methods
        .call("agent", { idempotencyKey: randomUUID(), ...params }, { signal, onAccepted: () => resolve() })
        .catch((error: unknown) => log.warn({ err: error, nodeId }, "a node's message was not answered"))
        .finally(resolve);
    });
  }

  async function voiceTranscript({ nodeId }: LiveNode, payload: Fields): Promise<void> {
    const text = words(payload["text"]);
    const sessionKey = canonical(words(payload["sessionKey"]) ?? "main");
    if (text === undefined || text.length > maxMessage || sessionKey === undefined) return;
    if (!spoken.isNew(sessionKey, fingerprint(payload, text))) return;
    await start(nodeId, {
      message: text,
      sessionKey,
      thinking: "low",
      deliver: false,
      inputProvenance: {
        kind: "external_user",
        sourceChannel: "voice",
        sourceTool: "gateway.voice.transcript",
      },
    });
  }

  async function agentRequest({ nodeId }: LiveNode, payload: Fields): Promise<void> {
    const message = words(payload["message"]);
    const sessionKey = canonical(words(payload["sessionKey"]) ?? `node-${nodeId}`);
    const { attachments, timeoutSeconds } = payload;
    const hasPictures = Array.isArray(attachments) && attachments.length > 0;
    if (sessionKey === undefined || (message ?? "").length > maxMessage) return;
    if (message === undefined) {
      // Nothing was said about it, and a message has to say something.
      if (hasPictures) log.warn({ nodeId }, "a node sent pictures without a word about them");
      return;
    }
    const route = payload["deliver"] === true ? await routeOf(sessionKey, payload) : undefined;
    if (payload["deliver"] === true && !route)
      log.warn({ nodeId, sessionKey }, "the answer for a node goes to no channel: nobody knows which");
    if (payload["receipt"] === true && route) await receipt(route, words(payload["receiptText"]));
    const thinking = words(payload["thinking"]);
    await start(nodeId, {
      message,
      sessionKey,
      ...(thinking !== undefined && { thinking }),
      ...(hasPictures && { attachments }),
      ...(typeof timeoutSeconds === "number" &&
        timeoutSeconds >= 0 && { timeout: Math.trunc(timeoutSeconds) }),
      deliver: route !== undefined,
      ...(route && { replyChannel: route.channel, replyTo: route.to }),
    });
  }

  /** Where it says, or where the session was talked to last. */
  async function routeOf(
    sessionKey: string,
    payload: Fields,
  ): Promise<{ readonly channel: string; readonly to: string } | undefined> {
    const entry = await sessions.find(sessionKey);
    const channel = words(payload["channel"]) ?? words(entry?.["lastChannel"]);
    const to = words(payload["to"]) ?? words(entry?.["lastTo"]);
    return channel !== undefined && to !== undefined ? { channel, to } : undefined;
  }

  async function receipt(route: { channel: string; to: string }, given: string | undefined): Promise<void> {
    const text = given ?? "Just received your request, working on it.";
    await channels
      .deliver(route.channel, { accountId: "default", to: route.to, text }, signal)
      .catch((error: unknown) => log.warn({ err: error }, "a node's receipt was not delivered"));
  }

  async function exec(event: string, { nodeId }: LiveNode, payload: Fields): Promise<void> {
    const key = canonical(words(payload["sessionKey"]) ?? `node-${nodeId}`);
    const runId = words(payload["runId"]);
    const text = execText(event, nodeId, payload);
    if (key === undefined || text === undefined) return;
    if (event === "exec.finished" && runId !== undefined && !finished.isNew(`${key} ${runId}`, "")) return;
    await methods
      .call("wake", { mode: "next-heartbeat", text, sessionKey: key }, { signal })
      .catch((error: unknown) => log.warn({ err: error, nodeId }, "what a node ran was not noted"));
  }

  /** Kept for whoever can send pushes; the token is of no use without a key of Apple's. */
  async function registerPush({ nodeId }: LiveNode, payload: Fields): Promise<void> {
    const token = (words(payload["token"]) ?? "").replaceAll(/[<>\s]/g, "").toLowerCase();
    const topic = words(payload["topic"]);
    if (!/^[0-9a-f]{32,512}$/.test(token) || topic === undefined || topic.length > 256) {
      log.warn({ nodeId }, "a node's push registration has no token or no topic");
      return;
    }
    const environment = payload["environment"] === "production" ? "production" : "sandbox";
    const stored = (await kept<Fields>(storage, "apns", isRecord)) ?? {};
    const others = Object.entries(stored).filter(([other]) => other !== nodeId);
    const mine = { nodeId, token, topic, environment, updatedAtMs: now() };
    const latest = others.slice(-(maxPushNodes - 1));
    await storage.set("apns", Object.fromEntries([...latest, [nodeId, mine]]));
  }

  return async function handle(node: LiveNode, event: string, given: unknown): Promise<void> {
    const payload = fieldsOf(given);
    if (!payload) return;
    if (event === "voice.transcript") return voiceTranscript(node, payload);
    if (event === "agent.request") return agentRequest(node, payload);
    if (event === "push.apns.register") return registerPush(node, payload);
    if (event === "exec.started" || event === "exec.finished" || event === "exec.denied")
      return exec(event, node, payload);
    const sessionKey = canonical(words(payload["sessionKey"]));
    if (sessionKey === undefined) return;
    if (event === "chat.subscribe") return subscriptions.add(node, sessionKey);
    if (event === "chat.unsubscribe") return subscriptions.remove(node, sessionKey);
  };
}

/** One line for the session: what a node ran, and how it went. A success without output is not worth one. */
function execText(event: string, nodeId: string, payload: Fields): string | undefined {
  const runId = words(payload["runId"]);
  const command = words(payload["command"]);
  const reason = words(payload["reason"]);
  const where = `node=${nodeId}${runId === undefined ? "" : ` id=${runId}`}`;
  const what = command === undefined ? "" : `: ${command}`;
  if (event === "exec.started") return `Exec started (${where})${what}`;
  if (event === "exec.denied")
    return `Exec denied (${where}${reason === undefined ? "" : `, ${reason}`})${what}`;
  const { exitCode, timedOut } = payload;
  const output = (words(payload["output"]) ?? "").replaceAll(/\s+/g, " ");
  const code = typeof exitCode === "number" ? exitCode : "?";
  if (timedOut !== true && exitCode === 0 && output === "") return undefined;
  const cut = output.length > maxOutput ? `${output.slice(0, maxOutput - 1)}…` : output;
  return `Exec finished (${where}, ${timedOut === true ? "timeout" : `code ${code}`})${cut === "" ? "" : `\n${cut}`}`;
}

/** What makes an utterance the same one: a node that is not sure it was heard says it again. */
function fingerprint(payload: Fields, text: string): string {
  const id = words(payload["eventId"]) ?? words(payload["providerEventId"]) ?? words(payload["transcriptId"]);
  if (id !== undefined) return `event:${id}`;
  const call = words(payload["providerCallId"]) ?? words(payload["callId"]);
  const at = integer(payload["timestamp"]) ?? integer(payload["ts"]) ?? integer(payload["eventTimestamp"]);
  const number = integer(payload["sequence"]) ?? integer(payload["seq"]);
  if (call !== undefined && number !== undefined) return `call-seq:${call}:${number}`;
  if (call !== undefined && at !== undefined) return `call-ts:${call}:${at}`;
  return at === undefined ? `text:${text}` : `timestamp:${at}|text:${text}`;
}

function fieldsOf(given: unknown): Fields | undefined {
  if (typeof given !== "string") return isFields(given) ? given : undefined;
  try {
    const parsed: unknown = JSON.parse(given);
    return isFields(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const words = (value: unknown): string | undefined =>
  typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;

const integer = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? Math.trunc(value) : undefined;
