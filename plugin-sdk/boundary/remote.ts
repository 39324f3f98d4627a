import type { HookName, Plugin, PluginContext, Tool, ToolContext, ToolResult } from "../index.ts";
import { RclawError } from "../index.ts";
import { compile } from "../schema/check.ts";
import type { Endpoint, Handler } from "./endpoint.ts";

type ToolShape = Pick<Tool, "name" | "description" | "params"> & {
  readonly paths?: readonly string[];
  readonly timeoutMs?: number;
};
type RemoteToolContext = Omit<ToolContext, "signal" | "files" | "onUpdate">;

interface HookOptions {
  readonly priority?: number;
  readonly timeoutMs?: number;
}

/** What a plugin on the far side says it offers, answered to "activate". */
interface Offer {
  readonly tools: readonly ToolShape[];
  readonly hooks: readonly (HookOptions & { readonly name: HookName })[];
}

/** A guest's answer is a stranger's data: it is checked before anything reads it. */
const offerCheck = compile({
  type: "object",
  required: ["tools", "hooks"],
  properties: {
    tools: {
      type: "array",
      maxItems: 256,
      items: {
        type: "object",
        required: ["name", "description", "params"],
        properties: {
          name: { type: "string" },
          description: { type: "string" },
          params: { type: "object" },
          paths: { type: "array", items: { type: "string" } },
          timeoutMs: { type: "number", minimum: 0 },
        },
      },
    },
    hooks: {
      type: "array",
      maxItems: 64,
      items: {
        type: "object",
        required: ["name"],
        properties: {
          name: { type: "string" },
          priority: { type: "number" },
          timeoutMs: { type: "number", minimum: 1 },
        },
      },
    },
  },
});
const resultCheck = compile({
  type: "object",
  required: ["content"],
  properties: { content: { type: "string" }, isError: { type: "boolean" } },
});

/** The kernel's side: a plugin that lives elsewhere, behind an endpoint. It is a Plugin, so every check of the host applies. */
export function remotePlugin(id: string, endpoint: Endpoint): Plugin {
  return {
    async activate(ctx) {
      ctx.defer(() => endpoint[Symbol.dispose]());
      const offer = await endpoint.call(
        "activate",
        { id, version: ctx.version, config: ctx.config },
        { signal: ctx.signal },
      );
      if (!offerCheck.valid(offer))
        throw new RclawError(
          "PLUGIN_FAILED",
          `plugin "${id}" answered "activate" with something else than its offer`,
        );
      const { tools, hooks } = offer as Offer;
      for (const tool of tools) {
        ctx.tools.register({
          ...tool,
          async execute(params, { signal, files: _files, onUpdate: _onUpdate, ...where }) {
            const result = await endpoint.call(
              "tool.execute",
              { name: tool.name, params, where },
              { signal },
            );
            if (resultCheck.valid(result)) return result as ToolResult;
            throw new RclawError(
              "PLUGIN_FAILED",
              `tool ${tool.name} of plugin "${id}" returned something else than a result`,
            );
          },
        });
      }
      for (const [index, { name, priority = 0, timeoutMs = 5_000 }] of hooks.entries()) {
        const handler = (event: object, context: object): Promise<never> =>
          endpoint.call("hook", { index, event, context }, { signal: ctx.signal }) as Promise<never>;
        ctx.hooks.on(name, handler, { priority, timeoutMs });
      }
    },
  };
}

/** The plugin's side: answers the kernel's calls on behalf of an ordinary plugin. */
export function servePlugin(
  plugin: Plugin,
  host: (partial: Pick<PluginContext, "tools" | "hooks" | "config" | "id" | "version">) => PluginContext,
): Handler {
  const tools = new Map<string, Tool>();
  const unavailable = (what: string) => () => {
    throw new RclawError(
      "PERMISSION_DENIED",
      `this plugin uses ${what}, which its runtime cannot carry yet; only "in-process" can`,
    );
  };
  const files: ToolContext["files"] = {
    read: unavailable("files.read"),
    write: unavailable("files.write"),
    list: unavailable("files.list"),
  };
  const hooks: (HookOptions & { name: HookName; handler(event: object, context: object): unknown })[] = [];

  async function activate({
    id,
    version,
    config,
  }: {
    id: string;
    version: string;
    config: unknown;
  }): Promise<Offer> {
    const local = {
      id,
      version,
      config,
      tools: {
        register(tool: Tool) {
          tools.set(tool.name, tool);
          return { [Symbol.dispose]: () => void tools.delete(tool.name) };
        },
        list: unavailable("tools.list"),
        call: unavailable("tools.call"),
      },
      hooks: {
        on(name: HookName, handler: (event: object, context: object) => unknown, options?: HookOptions) {
          // The position is the hook's id on the wire, so nothing is ever taken out.
          const hook = { name, handler, ...options };
          hooks.push(hook);
          return { [Symbol.dispose]: () => void (hook.handler = () => undefined) };
        },
        run: unavailable("hooks.run"),
      },
    };
    await plugin.activate(host(local as unknown as Parameters<typeof host>[0]));
    const shapes = [...tools.values()].map(({ name, description, params, paths, timeoutMs }) => ({
      name,
      description,
      params,
      ...(paths && { paths }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    }));
    return { tools: shapes, hooks: hooks.map(({ handler: _handler, ...offer }) => offer) };
  }

  return async ({ method, params, signal }) => {
    switch (method) {
      case "activate":
        return activate(params as Parameters<typeof activate>[0]);
      case "tool.execute": {
        const {
          name,
          params: args,
          where,
        } = params as { name: string; params: unknown; where: RemoteToolContext };
        const tool = tools.get(name);
        if (!tool) throw new RclawError("NOT_FOUND", `there is no tool "${name}"`);
        return tool.execute(args, { ...where, files, signal });
      }
      case "hook": {
        const { index, event, context } = params as { index: number; event: object; context: object };
        return hooks[index]?.handler(event, context);
      }
    }
    throw new RclawError("INVALID_REQUEST", `unknown method ${method}`);
  };
}
