import { randomUUID } from "node:crypto";
import path from "node:path";
import { definePlugin } from "@rclaw/plugin-sdk";
import { createBook } from "./book.ts";
import { openRulesFile } from "./file.ts";
import { approvalMethods, type PluginRequest } from "./methods.ts";
import type { ExecRequest } from "./requests.ts";

/** Questions to the owner: may this command run, may this plugin do that? */
export default definePlugin({
  activate(context) {
    const { gateway, storage, methods } = context;
    const exec = createBook<ExecRequest>({ now: Date.now });
    const plugin = createBook<PluginRequest>({ now: Date.now, newId: () => `plugin:${randomUUID()}` });
    const file = openRulesFile({
      storage,
      async folder() {
        const { path: configFile } = (await methods.call("config.get", {})) as { path: string };
        return path.dirname(configFile);
      },
    });
    for (const method of approvalMethods({ gateway, exec, plugin, file, now: Date.now })) {
      methods.register(method);
    }
    context.commands.register({
      name: "approvals",
      usage,
      run: async (command) => (await import("./command.ts")).run(command),
    });
    context.defer(() => {
      exec.close();
      plugin.close();
    });
  },
});

const usage = `Usage: rclaw approvals [list]
       rclaw approvals allow <id> [--always]
       rclaw approvals deny <id>
       rclaw approvals get

  list   what waits for an answer
  allow  lets it through once, or from now on; the start of the id is enough
  deny   does not
  get    the rules of who may run what

  --json  print JSON
`;
