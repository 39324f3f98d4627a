import { definePlugin } from "@rclaw/plugin-sdk";
import { createConversations } from "./cache.ts";
import { type AgentsConfig, settingsOf } from "./config.ts";
import { injectMethod } from "./inject.ts";
import { agentMethods } from "./methods.ts";
import { createModels } from "./models.ts";
import { createPrompts } from "./prompt.ts";
import { createRuns } from "./runs.ts";
import { createSystemLines } from "./system-lines.ts";
import { skillsIn } from "./skills.ts";
import { createStamp } from "./text.ts";

/** The agent: accepts messages, runs the model's loop in the session, and tells clients and channels what came of it. */
export default definePlugin<AgentsConfig>({
  async activate(context) {
    const settings = settingsOf(context.config);
    const { log, signal, providers, sessions } = context;
    const models = createModels({ providers, settings, log, signal });
    const prompts = createPrompts({
      settings,
      workspace: (agentId) => sessions.workspace(agentId),
      skills: (workspace, agentId) => skillsIn(workspace, agentId, context),
    });
    const conversations = createConversations(settings);
    const systemLines = await createSystemLines(context.storage, log);
    const mainKey = sessions.canonical("main");
    const agentOf = (sessionKey: string): string => agentIn(sessionKey) ?? settings.defaultAgent;
    // Made with the first message: Intl brings 8 MB of tables, which a gateway that waits does not need.
    let stamp: ((now: number) => string) | undefined;
    const runs = createRuns({
      context,
      settings,
      models,
      prompts,
      conversations,
      agentOf,
      stamp: (at) => (stamp ??= createStamp(settings.timezone))(at),
      takeSystemLines: systemLines.take,
      now: Date.now,
    });
    for (const method of agentMethods({ context, settings, models, runs, systemLines, mainKey, agentOf })) {
      context.methods.register(method);
    }
    context.methods.register(injectMethod({ context, runs, conversations, now: Date.now }));
    context.defer(() => runs.close());
    await sessions.workspace(agentOf(mainKey));
    await runs.resume();
  },
});

function agentIn(sessionKey: string): string | undefined {
  const [kind, agentId] = sessionKey.split(":", 2);
  return kind === "agent" ? agentId : undefined;
}
