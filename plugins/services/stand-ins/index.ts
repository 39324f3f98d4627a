import { defineMethod, definePlugin, RclawError } from "@rclaw/plugin-sdk";
import { loginStartParams, loginWaitParams, memoryParams, pushParams } from "./methods.schema.ts";

const refused = (message: string): RclawError => new RclawError("INVALID_REQUEST", message);
/** What WhatsApp's plugin answers in OpenClaw; nothing here is logged in with a QR code. */
const noLogin = (): Promise<never> => Promise.reject(refused("web login provider is not available"));

/** Clients ask for these whether they are there or not. Switched off, it makes room for a plugin that has the real thing. */
export default definePlugin({
  activate({ methods }) {
    methods.register(
      defineMethod({
        name: "doctor.memory.status",
        since: "2026.2.26",
        params: memoryParams,
        handle: async ({ params: { agentId } }) => ({
          agentId: agentId?.trim() || "main",
          provider: "none",
          embedding: { ok: false, error: "memory search unavailable" },
        }),
      }),
    );
    methods.register(
      defineMethod({
        name: "doctor.memory.dreamDiary",
        since: "2026.5.7",
        params: memoryParams,
        handle: async ({ params: { agentId } }) => ({
          agentId: agentId?.trim() || "main",
          found: false,
          path: "DREAMS.md",
        }),
      }),
    );
    methods.register(
      defineMethod({
        name: "push.test",
        since: "2026.2.17",
        params: pushParams,
        async handle({ params }) {
          const nodeId = params.nodeId.trim();
          if (nodeId === "") throw refused("nodeId required");
          throw refused(`node ${nodeId} has no APNs registration (connect iOS node first)`);
        },
      }),
    );
    methods.register(
      defineMethod({
        name: "web.login.start",
        since: "2026.2.17",
        params: loginStartParams,
        handle: noLogin,
      }),
    );
    methods.register(
      defineMethod({
        name: "web.login.wait",
        since: "2026.2.17",
        params: loginWaitParams,
        handle: noLogin,
      }),
    );
  },
});
