import { definePlugin } from "@rclaw/plugin-sdk";
import { skillMethods } from "./methods.ts";

/** Skills: what is there, what it lacks, and its settings. */
export default definePlugin({
  activate(context) {
    for (const method of skillMethods(context)) context.methods.register(method);
  },
});
