import { definePlugin } from "@rclaw/plugin-sdk";
import { createFeed } from "./feed.ts";
import { groupMethods } from "./groups.ts";
import { conversationMethods } from "./methods.ts";
import { createSubscriptions } from "./subscriptions.ts";

/** What later releases of the protocol do with sessions, on top of `chat.send` and the store's own methods. */
export default definePlugin({
  activate(context) {
    const subscriptions = createSubscriptions();
    const feed = createFeed({ context, subscriptions, now: Date.now });
    context.gateway.onEvent(feed.hear);
    context.defer(() => feed.close());
    const methods = [
      ...conversationMethods({ context, subscriptions }),
      ...groupMethods({ context, changed: feed.regrouped }),
    ];
    for (const method of methods) context.methods.register(method);
  },
});
