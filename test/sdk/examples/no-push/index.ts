import { definePlugin } from "@rclaw/plugin-sdk";

export default definePlugin({
  activate(ctx) {
    ctx.hooks.on("before_tool_call", ({ params }) => {
      if (!/\bgit\s+push\b/.test(String(params["command"]))) return undefined;
      ctx.log.info({ command: params["command"] }, "git push refused");
      return { block: true, blockReason: "Publishing commits is for people: ask the owner to push." };
    });
  },
});
