import { definePlugin } from "@rclaw/plugin-sdk";
import { authKeyMethod, authLogoutMethod } from "./auth-key.ts";
import { authStatusMethod } from "./auth-status.ts";
import { wizardMethods } from "./wizard.ts";

/** Whatever an app needs to make the assistant answer for the first time. */
export default definePlugin({
  activate(context) {
    const keys = [authStatusMethod(context), authKeyMethod(context), authLogoutMethod(context)];
    for (const method of [...wizardMethods(context), ...keys]) context.methods.register(method);
  },
});
