import { definePlugin } from "@rclaw/plugin-sdk";
import { authKeyMethod } from "./auth-key.ts";
import { authStatusMethod } from "./auth-status.ts";
import { wizardMethods } from "./wizard.ts";

/** Whatever an app needs to make the assistant answer for the first time. */
export default definePlugin({
  activate(context) {
    for (const method of [...wizardMethods(context), authStatusMethod(context), authKeyMethod(context)])
      context.methods.register(method);
  },
});
