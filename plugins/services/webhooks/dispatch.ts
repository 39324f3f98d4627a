import { randomUUID } from "node:crypto";
import { isRclawError, type PluginContext } from "@rclaw/plugin-sdk";
import { Refusal } from "./answers.ts";
import type { HooksConfig } from "./config.ts";
import { createOnce } from "./once.ts";
import { asName, asUntrusted, untrustedLine } from "./untrusted.ts";
import type { AgentWork, Wake } from "./work.ts";

/** Runs that are not over. A sender that knows no end must not fill the gateway. */
const maxUnderWay = 1_000;
const maxSummary = 2_000;

interface Target {
  readonly channel: string;
  readonly to: string;
  readonly accountId?: string;
  readonly threadId?: string;
}

/** Hands on what a hook wants. What is acknowledged has been written down. */
export function createDispatch({ methods, sessions, log, storage }: PluginContext, config: HooksConfig) {
  const doOnce = createOnce(storage, Date.now);
  const mainKey = sessions.canonical("main");
  const mainAgent = agentOf(mainKey) ?? "main";
  const underWay = new Set<string>();
  const taking = new Map<string, Promise<string>>();

  async function wake({ text, mode }: Wake, once: string | undefined): Promise<void> {
    const wakeNow = async (): Promise<void> => {
      await methods.call("wake", { mode, text: untrustedLine(text, "Webhook") });
    };
    await (once === undefined ? wakeNow() : doOnce(once, wakeNow));
  }

  /** One that nobody configured stands for the default agent. */
  async function knownAgent(asked: string): Promise<string> {
    const id = asked.toLowerCase();
    const { config: all } = (await methods.call("config.get", {})) as {
      config?: { agents?: { list?: readonly { id?: string }[] } };
    };
    return (all?.agents?.list ?? []).some((agent) => agent.id === id) ? id : mainAgent;
  }

  async function placeOf({ agentId, sessionKey }: AgentWork): Promise<string> {
    const agent = agentId === undefined ? undefined : await knownAgent(agentId);
    const key = sessionKey ?? `hook:${randomUUID()}`;
    const isWhole = /^(?:agent:|global$)/i.test(key.normalize("NFKC"));
    const canonical = sessions.canonical(isWhole || agent === undefined ? key : `agent:${agent}:${key}`);
    const owner = agentOf(canonical) ?? mainAgent;
    if (agent !== undefined && agent !== owner)
      throw new Refusal(`agent "${agent}" does not match session key agent "${owner}"`);
    const allowed = config.allowedAgentIds?.map((id) => id.trim().toLowerCase());
    const isNamed = agentId !== undefined || isWhole;
    if (isNamed && allowed && !allowed.includes("*") && !allowed.includes(owner))
      throw new Refusal("agentId is not allowed by hooks.allowedAgentIds");
    return canonical;
  }

  /** Where the answer goes: what the hook says, or where the owner was last talked to. */
  async function targetOf({ deliver, channel, to }: AgentWork): Promise<Target | undefined> {
    const name = channel.toLowerCase();
    if (name !== "last") {
      const { channelOrder = [] } = (await methods.call("channels.status", { probe: false })) as {
        channelOrder?: readonly string[];
      };
      if (!channelOrder.includes(name))
        throw new Refusal(`channel must be ${["last", ...channelOrder].join("|")}`);
    }
    if (!deliver) return undefined;
    const last = (await sessions.find(mainKey)) ?? {};
    const { lastChannel, lastTo, lastAccountId, lastThreadId } = last as Readonly<Record<string, unknown>>;
    if (name !== "last" && to !== undefined) return { channel: name, to };
    if (typeof lastChannel !== "string" || lastChannel === "webchat") return undefined;
    if (name !== "last" && name !== lastChannel) return undefined;
    const place = to ?? lastTo;
    if (typeof place !== "string") return undefined;
    return {
      channel: lastChannel,
      to: place,
      ...(typeof lastAccountId === "string" && { accountId: lastAccountId }),
      ...(to === undefined && typeof lastThreadId === "string" && { threadId: lastThreadId }),
    };
  }

  /** Whoever tries again while the first is still being taken gets its run: no two are worded alike. */
  async function agent(work: AgentWork, once: string | undefined): Promise<string> {
    const known = once === undefined ? undefined : taking.get(once);
    if (known) return known;
    const own = take(work, once);
    if (once === undefined) return own;
    taking.set(once, own);
    try {
      return await own;
    } finally {
      taking.delete(once);
    }
  }

  async function take(work: AgentWork, once: string | undefined): Promise<string> {
    if (underWay.size >= maxUnderWay) throw new Refusal("too many hooks are under way; try again later", 429);
    const runId = once === undefined ? randomUUID() : `hook-${once}`;
    const sessionKey = await placeOf(work);
    const target = await targetOf(work);
    const name = asName(work.name);
    const params = {
      message: work.isTrusted ? work.message : asUntrusted(work.message, `Webhook (${name})`),
      sessionKey,
      idempotencyKey: runId,
      ...(work.model && { model: work.model }),
      ...(work.thinking && { thinking: work.thinking }),
      ...(work.timeoutSeconds && { timeout: work.timeoutSeconds }),
      ...(target && {
        deliver: true,
        replyChannel: target.channel,
        replyTo: target.to,
        ...(target.accountId && { replyAccountId: target.accountId }),
        ...(target.threadId && { threadId: target.threadId }),
      }),
    };
    const isFirst = !underWay.has(runId);
    underWay.add(runId);
    return new Promise((resolve, reject) => {
      let isAccepted = false;
      const accept = (): void => {
        isAccepted = true;
        resolve(runId);
      };
      const call = methods.call("agent", params, { onAccepted: accept });
      const ended = call.then(
        (answer) => ({ text: textOf(answer), failed: "" }),
        (error: unknown) => {
          if (!isAccepted) throw error;
          return { text: reasonOf(error), failed: " (error)" };
        },
      );
      ended
        .then(async ({ text, failed }) => {
          // Known already, and over.
          if (!isAccepted) return accept();
          if (isFirst && (target === undefined || failed !== "") && sessionKey !== mainKey)
            await tell(`Hook ${name}${failed}`, text, work.wakeMode);
        })
        .catch((error: unknown) =>
          isAccepted ? log.warn({ err: error, runId }, "a hook's end was not told") : reject(error as Error),
        )
        .finally(() => isFirst && underWay.delete(runId));
    });
  }

  /** What nobody was sent, the assistant's own session is told. */
  async function tell(what: string, text: string, mode: Wake["mode"]): Promise<void> {
    await methods.call("wake", { mode, text: untrustedLine(text.slice(0, maxSummary), what) });
  }

  return { wake, agent };
}

const agentOf = (sessionKey: string): string | undefined => /^agent:([^:]+):/.exec(sessionKey)?.[1];

function textOf(answer: unknown): string {
  const { result } = answer as { result?: { payloads?: readonly { text?: string }[] } };
  return (result?.payloads ?? []).map(({ text = "" }) => text).join("\n\n") || "ok";
}

const reasonOf = (error: unknown): string =>
  isRclawError(error) ? error.message : "it failed; see the gateway's log";
