import type { PluginContext, Route } from "@rclaw/plugin-sdk";
import { json } from "./answers.ts";
import { defaultAgent } from "./target.ts";

const model = (id: string): object => ({
  id,
  object: "model",
  created: 0,
  owned_by: "openclaw",
  permission: [],
});

/** The agents as models: what a client shows in its list, and sends back as `model`. */
export function createModelList({ methods, sessions }: PluginContext): Route["handle"] {
  return async ({ path, caller }) => {
    const { config } = (await methods.call("config.get", {}, caller ? { as: caller } : {})) as {
      config?: { agents?: { list?: readonly { id?: string }[] } };
    };
    const agents = [defaultAgent(sessions), ...(config?.agents?.list ?? []).flatMap(({ id }) => id ?? [])];
    const ids = [...new Set(["openclaw", "openclaw/default", ...agents.map((id) => `openclaw/${id}`)])];
    const wanted = path.slice("/v1/models/".length);
    if (wanted === "") return json(200, { object: "list", data: ids.map(model) });
    if (ids.includes(wanted)) return json(200, model(wanted));
    return json(404, { error: { message: `Model '${wanted}' not found.`, type: "invalid_request_error" } });
  };
}
