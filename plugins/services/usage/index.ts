import { definePlugin } from "@rclaw/plugin-sdk";
import { createLedger } from "./ledger.ts";
import { usageMethods } from "./methods.ts";

/** Adds up what the transcripts say was used. Nothing is counted before somebody asks. */
export default definePlugin({
  activate(context) {
    const ledger = createLedger(context.sessions);
    for (const method of usageMethods({ context, ledger, now: Date.now })) context.methods.register(method);
  },
});
