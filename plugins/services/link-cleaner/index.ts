import { definePlugin } from "@rclaw/plugin-sdk";
import { createCleaner, type Rules } from "./clean.ts";

export default definePlugin<Partial<Rules>>({
  activate(ctx) {
    const clean = createCleaner(ctx.config);
    ctx.hooks.on("message_sending", ({ content }) => {
      const cleaned = clean(content);
      return cleaned === content ? undefined : { content: cleaned };
    });
  },
});
