import { definePlugin } from "@rclaw/plugin-sdk";
import { createMirror } from "./mirror.ts";
import { messageMethods } from "./methods.ts";
import { createOnce } from "./once.ts";

/** What clients send through channels of their own accord, beside the assistant's answers. */
export default definePlugin({
  activate(context) {
    const once = createOnce({ storage: context.storage, log: context.log, now: Date.now });
    const mirror = createMirror(context);
    for (const method of messageMethods({ context, once, mirror })) context.methods.register(method);
  },
});
