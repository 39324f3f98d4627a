import type { Message } from "@rclaw/plugin-sdk";
import { ask, type Answer } from "./ask.ts";
import { contextOf } from "./config.ts";
import type { ModelRef } from "./models.ts";
import { askingForLess } from "./overflow.ts";
import { asThinking } from "./request.ts";
import type { TurnOptions, TurnParts } from "./turn.ts";
import { placeOf, type Work } from "./work.ts";

export type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Who is asked, with which tools and in which words: what hooks say comes before what is configured. */
export async function prepare(work: Work, options: TurnOptions, parts: TurnParts) {
  const { session, conversation } = work;
  const { request, text, agentId, isOwner } = options;
  const { context, models, settings, prompts } = parts;
  const { hooks } = context;
  const place = placeOf(work, options);
  const { channel } = request;
  const history: readonly Message[] = conversation.messages;

  const resolved = await hooks.run("before_model_resolve", { prompt: text }, place);
  const started = await hooks.run("before_agent_start", { prompt: text, messages: history }, place);
  const choices = await models.candidates({
    hook: { ...started, ...resolved },
    ...(request.model && { params: request.model }),
    entry: session.entry,
    agentId,
  });
  const tools = await context.tools.list({
    sessionKey: session.key,
    agentId,
    isOwner,
    ...(channel && { channel }),
  });
  const built = await hooks.run("before_prompt_build", { prompt: text, messages: history }, place);
  const system =
    built.systemPrompt ??
    started.systemPrompt ??
    (await prompts.prompt(agentId, tools, channel, request.extraSystemPrompt));
  const thinking =
    request.thinking ?? asThinking(session.entry.thinkingLevel) ?? asThinking(settings.thinking);
  return {
    choices,
    /** Stands in front of the person's words, for this run only. */
    prepended: [started.prependContext, built.prependContext].filter(Boolean).join("\n\n"),
    base: {
      system,
      tools,
      cacheKey: session.entry.sessionId,
      ...(thinking && { thinking }),
      ...(settings.maxTokens && { maxTokens: settings.maxTokens }),
    },
  };
}

/** Asks the models in turn with as much of the conversation as they take; hooks hear of every try. */
export async function asker(
  { choices, base }: Prepared,
  work: Work,
  options: TurnOptions,
  parts: TurnParts,
): Promise<(messages: readonly Message[]) => Promise<Answer>> {
  const { session, conversation } = work;
  const { run, request, text, signal } = options;
  const { context, models, settings, conversations } = parts;
  const place = placeOf(work, options);
  const window = choices[0] && (await models.windowOf(choices[0]));
  const room = contextOf(settings, window);
  work.contextTokens = room.tokens;
  const fit = (limit: number): void => conversations.fit(conversation, limit);
  fit(room.chars);
  work.asked = choices[0];
  /** Says what is asked, to each model that is: a hook must not hear of a question only when it is answered. */
  let announce: (choice: ModelRef) => void = () => undefined;
  const asking = {
    providers: context.providers,
    models,
    retry: settings.retry,
    log: context.log,
    onTry(choice: ModelRef): void {
      work.asked = choice;
      announce(choice);
    },
  };
  const askModel = askingForLess((messages) => {
    const { hasThinking } = conversation;
    return ask(choices, { ...base, messages, hasThinking }, signal, asking);
  }, fit);
  return async (messages) => {
    signal.throwIfAborted();
    announce = ({ provider, model }) =>
      void context.hooks.run(
        "llm_input",
        {
          runId: run.id,
          sessionId: session.entry.sessionId,
          provider,
          model,
          systemPrompt: base.system,
          prompt: text,
          historyMessages: messages,
          imagesCount: request.images.length,
        },
        place,
      );
    return askModel(messages);
  };
}
