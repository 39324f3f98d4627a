import { definePlugin } from "@rclaw/plugin-sdk";
import { catalogMethods } from "./methods.ts";

/** The tools as clients see them. */
export default definePlugin({
  activate(context) {
    for (const method of catalogMethods(context)) context.methods.register(method);
  },
});
