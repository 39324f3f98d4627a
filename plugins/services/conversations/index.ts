import { definePlugin } from "@rclaw/plugin-sdk";
import { createFeed } from "./feed.ts";
import { conversationMethods } from "./methods.ts";
import { createSubscriptions } from "./subscriptions.ts";

/** What later releases of the protocol do with sessions, on top of `chat.send` and the store's own methods. */
export default definePlugin({
  activate(context) {
    const subscriptions = createSubscriptions();
    const feed = createFeed({ context, subscriptions, now: Date.now });
    context.gateway.onEvent(feed.hear);
    context.defer(() => feed.close());
    for (const method of conversationMethods({ context, subscriptions })) context.methods.register(method);
  },
});
