import { RclawError } from "../errors.ts";
import { compile } from "../schema/check.ts";

const shapes: Readonly<
  Record<string, Readonly<Record<string, "string" | "number" | "object" | "function">>>
> = {
  tools: { name: "string", description: "string", params: "object", execute: "function" },
  channels: { id: "string", label: "string", textLimit: "number", start: "function", send: "function" },
  providers: { id: "string", ready: "function", models: "function", stream: "function" },
  methods: { name: "string", handle: "function" },
  routes: { route: "string", auth: "string", handle: "function" },
  commands: { name: "string", usage: "string", run: "function" },
};

/**
 * A plugin need not be written in TypeScript. What it hands over is looked at once, when it registers
 * it: later a missing word would be everybody's failure, at a place that knows nothing of the plugin.
 */
export function checkContribution(plugin: string, kind: string, item: object): void {
  const name = kind.replace(/s$/, "");
  const refuse = (reason: string): never => {
    throw new RclawError("PLUGIN_FAILED", `plugin "${plugin}" registers a ${name} ${reason}`, {
      details: { plugin },
    });
  };
  if (typeof item !== "object" || item === null) refuse("that is no object");
  for (const [key, type] of Object.entries(shapes[kind] ?? {})) {
    const value: unknown = Reflect.get(item, key);
    if (typeof value !== type || value === null) refuse(`whose "${key}" is no ${type}`);
  }
  const { params } = item as { params?: unknown };
  if (params === undefined) return;
  try {
    compile(params as object).issues({});
  } catch (error) {
    refuse(`whose "params" are no JSON Schema that is understood: ${(error as Error).message}`);
  }
}
