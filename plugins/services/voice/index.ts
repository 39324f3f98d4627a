import { definePlugin } from "@rclaw/plugin-sdk";
import type { TalkSection } from "./section.ts";
import { talkMethods } from "./talk.ts";
import { ttsMethods } from "./tts.ts";
import { createWakeWords } from "./wake.ts";

/** What apps need for talking. Speaking and listening is theirs: nothing here makes or understands a sound yet. */
export default definePlugin<TalkSection>({
  activate(context) {
    const wakeWords = createWakeWords(context);
    const methods = [...wakeWords.methods, ...talkMethods(context), ...ttsMethods(context)];
    for (const method of methods) context.methods.register(method);
    const listening = context.gateway.onEvent((event, payload) => {
      if (event === "client.connected") void wakeWords.greet((payload as { connId: string }).connId);
    });
    context.defer(() => listening[Symbol.dispose]());
  },
});
