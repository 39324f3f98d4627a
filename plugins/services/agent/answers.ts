import { isRclawError, type PluginContext, RclawError, type SessionEntry } from "@rclaw/plugin-sdk";
import { type ChatCommand, helpText } from "./commands.ts";
import type { Settings } from "./config.ts";
import type { Models } from "./models.ts";
import { asThinking, type RunRequest, thinkingLevels } from "./request.ts";

export interface AnswersOptions {
  readonly context: PluginContext;
  readonly settings: Pick<Settings, "thinking" | "aliases">;
  readonly models: Models;
  agentOf(sessionKey: string): string;
  /** Runs of the session that ask a model. */
  running(sessionKey: string): number;
}

interface Asked {
  readonly sessionKey: string;
  readonly request: RunRequest;
  readonly signal: AbortSignal;
}

/** More would be no list that a person reads in a chat. */
const maxListed = 40;

/** What the gateway answers to a command by itself, without a model. */
export function createAnswers({ context, settings, models, agentOf, running }: AnswersOptions) {
  async function status({ sessionKey }: Asked): Promise<string> {
    const entry = await context.sessions.find(sessionKey);
    const [choice] = await candidates(sessionKey, entry);
    const used = entry?.totalTokens;
    const room = entry?.["contextTokens"];
    return [
      `rclaw ${context.version}`,
      `Model: ${choice ? `${choice.provider}/${choice.model} (${choice.reason})` : "none (no provider is ready)"}`,
      `Tokens: ${entry?.inputTokens ?? 0} in / ${entry?.outputTokens ?? 0} out`,
      ...(used !== undefined && typeof room === "number" ? [`Context: ${used} of ${room} tokens`] : []),
      `Session: ${sessionKey}`,
      `Thinking: ${entry?.thinkingLevel ?? settings.thinking ?? "off"} · Running: ${running(sessionKey)}`,
    ].join("\n");
  }

  async function candidates(sessionKey: string, entry: SessionEntry | undefined) {
    return models.candidates({ agentId: agentOf(sessionKey), ...(entry && { entry }) }).catch(() => []);
  }

  async function model(rest: string, asked: Asked): Promise<string> {
    const { sessionKey } = asked;
    if (rest === "" || rest === "status") {
      const [choice] = await candidates(sessionKey, await context.sessions.find(sessionKey));
      const now = choice
        ? `${choice.provider}/${choice.model} (${choice.reason})`
        : "none: no provider is ready";
      return `Model: ${now}\nChange it with /model <provider/model>; /model list shows what there is.`;
    }
    if (rest === "list") return modelList(asked.signal);
    const refusal = mayNotChange(asked);
    if (refusal) return refusal;
    if (rest === "default") {
      await change(asked, { providerOverride: null, modelOverride: null });
      return model("", asked);
    }
    const choice = await models.parse(rest);
    if (!context.providers.ids().includes(choice.provider))
      return `There is no provider "${choice.provider}". /model list shows what there is.`;
    await change(asked, { providerOverride: choice.provider, modelOverride: choice.model });
    const known = await models.list(asked.signal);
    const isKnown = known.some(({ id, provider }) => id === choice.model && provider === choice.provider);
    const doubt = isKnown ? "" : " It is not among the models its provider lists.";
    return `This session now uses ${choice.provider}/${choice.model}.${doubt}`;
  }

  async function modelList(signal: AbortSignal): Promise<string> {
    const all = (await models.list(signal)).map(({ id, provider }) => `${provider}/${id}`);
    const more = all.length > maxListed ? [`... and ${all.length - maxListed} more`] : [];
    const aliases = [...settings.aliases].map(([alias, ref]) => `${alias} = ${ref}`);
    return ["Models:", ...all.slice(0, maxListed), ...more, ...aliases].join("\n");
  }

  async function think(rest: string, asked: Asked): Promise<string> {
    const usage = `use ${thinkingLevels.join(", ")} or default`;
    const word = rest.toLowerCase();
    if (word === "") {
      const entry = await context.sessions.find(asked.sessionKey);
      return `Thinking: ${entry?.thinkingLevel ?? settings.thinking ?? "off"}. To change it, ${usage}.`;
    }
    const level = asThinking(word);
    if (!level && word !== "default") return `There is no thinking level "${rest}"; ${usage}.`;
    const refusal = mayNotChange(asked);
    if (refusal) return refusal;
    await change(asked, { thinkingLevel: level ?? null });
    return `Thinking: ${level ?? settings.thinking ?? "off"}, for this session.`;
  }

  /** What one person sets in a group counts for all, and models differ in price. */
  function mayNotChange({ request }: Asked): string | undefined {
    if (request.isOwner || !request.isShared) return undefined;
    return "Only the owner can change this where several people talk (commands.ownerAllowFrom says who that is).";
  }

  async function change(
    { sessionKey, signal }: Asked,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await using session = await context.sessions.open(sessionKey, signal);
    const isModel = "modelOverride" in fields;
    // What the last run found no longer holds.
    await session.patch({
      ...fields,
      ...(isModel && { model: null, modelProvider: null, contextTokens: null }),
    });
  }

  function whoami({ sessionKey, request: { sender, isOwner } }: Asked): string {
    const who = sender
      ? `You are ${sender.name ?? "unnamed"} (id ${sender.id}) on ${sender.channel}.`
      : "You are connected to the gateway as its operator.";
    return [who, `Owner: ${isOwner ? "yes" : "no"}`, `Session: ${sessionKey}`].join("\n");
  }

  /** A wrong word is an answer too, not a failed run. */
  async function answer(command: ChatCommand, asked: Asked): Promise<string> {
    switch (command.name) {
      case "stopped":
        return command.count > 0 ? "Stopped." : "Nothing is running.";
      case "help":
        return helpText;
      case "status":
        return status(asked);
      case "whoami":
        return whoami(asked);
      case "think":
        return think(command.rest, asked);
      case "model":
        return model(command.rest, asked).catch((error: unknown) => {
          if (isRclawError(error) && error.code === "INVALID_REQUEST") return error.message;
          throw error;
        });
      default:
        throw new RclawError("INVALID_REQUEST", `/${command.name} needs a model`);
    }
  }

  return answer;
}
