import { definePlugin, RclawError } from "@rclaw/plugin-sdk";

const since = "2026.2.17";

/**
 * Whether the assistant may look around by itself now and then. Nothing here makes it do so yet: there has
 * been no heartbeat, and the wish is kept for what will.
 */
export default definePlugin({
  activate({ methods, storage }) {
    methods.register({ name: "last-heartbeat", since, handle: async () => null });
    methods.register({
      name: "set-heartbeats",
      since,
      async handle({ params }) {
        const { enabled } = params as { readonly enabled?: unknown };
        if (typeof enabled !== "boolean")
          throw new RclawError(
            "INVALID_REQUEST",
            "invalid set-heartbeats params: enabled (boolean) required",
          );
        await storage.set("enabled", enabled);
        return { ok: true, enabled };
      },
    });
  },
});
