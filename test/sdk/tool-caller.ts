import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";

const manifest = {
  id: "tool-caller",
  name: "Tool caller",
  description: "Calls a tool the way the agent does, for tests.",
  runtime: "in-process",
  entry: "index.js",
  contributes: { methods: { "tool-caller.list": "operator.read", "tool-caller.call": "operator.write" } },
  permissions: { tools: ["*"] },
};

const source = `
const place = { sessionKey: "agent:main:main", agentId: "main", runId: "run", toolCallId: "1", isOwner: true };
export default {
  activate({ tools, methods }) {
    methods.register({ name: "tool-caller.list", handle: () => tools.list(place) });
    methods.register({
      name: "tool-caller.call",
      handle: ({ params: { tool, params }, signal }) => tools.call(tool, params, { ...place, signal }),
    });
  },
};
`;

/** Puts a plugin into a state folder through which a client can call tools, past every gate of the policy. */
export async function installToolCaller(stateDir: string): Promise<void> {
  const folder = path.join(stateDir, "plugins", manifest.id);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "rclaw.plugin.json5"), JSON.stringify(manifest));
  await writeFile(path.join(folder, "index.js"), source);
}
