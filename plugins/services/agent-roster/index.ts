import { definePlugin } from "@rclaw/plugin-sdk";
import { createConfiguration } from "./configuration.ts";
import { fileMethods } from "./files.ts";
import { identityMethod } from "./identity.ts";
import { rosterMethods } from "./methods.ts";

/** The agents as clients manage them; what they do is the agent plugin's business. */
export default definePlugin({
  activate(context) {
    const configuration = createConfiguration(context.methods);
    const methods = [
      ...rosterMethods({ context, configuration }),
      ...fileMethods({ context, configuration }),
      identityMethod({ context, configuration }),
    ];
    for (const method of methods) context.methods.register(method);
  },
});
