import { definePlugin } from "@rclaw/plugin-sdk";
import { emptyLists } from "./empty.ts";
import { machineMethods } from "./machines.ts";
import { startMethods } from "./startup.ts";

/** Opening a chat in OpenClaw's Control UI of 2026.9: it asks for the whole of it at once. */
export default definePlugin({
  activate({ methods }) {
    const all = [...startMethods(methods), ...emptyLists(), ...machineMethods(methods)];
    for (const method of all) methods.register(method);
  },
});
