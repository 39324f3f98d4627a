import { definePlugin } from "@rclaw/plugin-sdk";
import { authStatusMethod } from "./auth-status.ts";
import { wizardMethods } from "./wizard.ts";

/** Whatever an app needs to make the assistant answer for the first time. */
export default definePlugin({
  activate(context) {
    for (const method of [...wizardMethods(context), authStatusMethod(context)])
      context.methods.register(method);
  },
});
