import { isRecord } from "@rclaw/plugin-sdk/services/record";
import {
  type Caller,
  defineMethod,
  isRclawError,
  type Method,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import { metadataParams, startupParams } from "./methods.schema.ts";

type Answer = Readonly<Record<string, unknown>>;
type Ask = (method: string, params: object) => Promise<Answer | undefined>;

/** `chat.startup` and `chat.metadata`: what other methods answer, put together. */
export function startMethods(methods: PluginContext["methods"]): readonly Method[] {
  const as =
    (caller: Caller, signal: AbortSignal): Ask =>
    async (method, params) =>
      (await methods.call(method, params, { as: caller, signal })) as Answer;

  return [
    defineMethod({
      name: "chat.startup",
      since: "2026.9",
      params: startupParams,
      async handle({ params, caller, signal }) {
        const { sessionKey, limit, maxChars, cursor, inputRunIds } = params;
        if (sessionKey === undefined)
          throw new RclawError(
            "INVALID_REQUEST",
            "chat.startup needs a sessionKey: short ids are not known here",
          );
        // There are no cursors: whoever has one from elsewhere reads the page anew.
        if (cursor !== undefined) return { kind: "reset" };
        const ask = as(caller, signal);
        const page = {
          ...(limit !== undefined && { limit }),
          ...(maxChars !== undefined && { maxChars }),
          ...(inputRunIds !== undefined && { inputRunIds }),
        };
        const [history, row, list, metadata] = await Promise.all([
          ask("chat.history", { sessionKey, ...page }),
          optional(ask, "sessions.describe", { key: sessionKey }),
          optional(ask, "sessions.list", { limit: 1 }),
          metadataFor(ask),
        ]);
        return {
          pendingInputs: { items: [] },
          ...(isRecord(row?.["session"]) && { sessionInfo: row["session"] }),
          ...history,
          ...(isRecord(list?.["defaults"]) && { defaults: list["defaults"] }),
          metadata,
        };
      },
    }),
    defineMethod({
      name: "chat.metadata",
      since: "2026.9",
      params: metadataParams,
      handle: ({ caller, signal }) => metadataFor(as(caller, signal)),
    }),
  ];
}

async function metadataFor(ask: Ask): Promise<object> {
  const [models, commands] = await Promise.all([
    ask("models.list", {}),
    optional(ask, "commands.list", { includeArgs: true, scope: "text" }),
  ]);
  return {
    models: models?.["models"] ?? [],
    ...(Array.isArray(commands?.["commands"]) && { commands: commands["commands"] }),
    swarmEnabled: false,
    runtimeSelectionLocked: false,
  };
}

/** An answer that makes the picture fuller, and without which there is one all the same. */
async function optional(ask: Ask, method: string, params: object): Promise<Answer | undefined> {
  try {
    return await ask(method, params);
  } catch (error) {
    if (isRclawError(error)) return undefined;
    throw error;
  }
}
