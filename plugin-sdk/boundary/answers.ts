import { RclawError } from "../errors.ts";
import { type Check, compile, describeIssues } from "../schema/check.ts";
import type { Asked } from "./calls.ts";

const text = { type: "string", maxLength: 4_194_304 };
const name = { type: "string", maxLength: 128 };
const number = { type: "number" };
const flag = { type: "boolean" };
const list = (items: object, maxItems = 256): object => ({ type: "array", maxItems, items });
const record = (required: Readonly<Record<string, object>>, optional: object = {}): object => ({
  type: "object",
  required: Object.keys(required),
  properties: { ...required, ...optional },
});

const offer = record({
  tools: list(
    record(
      { name, description: { type: "string", maxLength: 8_192 }, params: { type: "object" } },
      { paths: list(name), timeoutMs: { type: "number", minimum: 0 } },
    ),
  ),
  hooks: list(record({ name }, { priority: number, timeoutMs: { type: "number", minimum: 1 } }), 64),
  channels: list(
    record({
      id: name,
      label: name,
      textLimit: { type: "integer", minimum: 1 },
      can: list({ enum: ["typing", "logout"] }),
    }),
  ),
  providers: list(name),
  methods: list(record({ name }, { params: { type: "object" } })),
  routes: list(record({ route: name, auth: { enum: ["gateway", "open"] } }, { bodyLimit: number })),
  commands: list(record({ name, usage: { type: "string", maxLength: 16_384 } })),
});
const chunks = list(
  {
    anyOf: [
      record({ type: { const: "text" }, delta: text }),
      record({ type: { const: "thinking" }, delta: text }, { signature: text }),
      record({ type: { const: "tool_use" }, id: name, name }),
      record({
        type: { const: "end" },
        stopReason: { enum: ["stop", "length", "toolUse", "refusal"] },
        usage: record({ input: number, output: number, cacheRead: number, cacheWrite: number }),
      }),
    ],
  },
  10_000,
);

/** What an answer must hold. A plugin's answer is a stranger's data: it is checked before anything reads it. */
const shapes: Readonly<Partial<Record<keyof Asked | "provider.stream chunk", object>>> = {
  activate: offer,
  "tool.execute": record({ content: { type: "string" } }, { isError: flag }),
  hook: { anyOf: [{ type: "null" }, { type: "object" }] },
  "channel.send": record({ id: { type: "string", maxLength: 1_024 } }),
  "channel.accounts": list(
    record({ accountId: name, enabled: flag, configured: flag, running: flag }, { lastError: text }),
  ),
  "provider.ready": record({ ok: flag, reason: text, defaultModel: text, rank: number }),
  "provider.models": list(record({ id: text, name: text }), 10_000),
  "provider.stream chunk": chunks,
  "route.handle": record(
    { status: { type: "integer", minimum: 100, maximum: 599 } },
    { headers: { type: "object", additionalProperties: { type: "string" } } },
  ),
  "command.run": { type: "integer", minimum: 0, maximum: 255 },
};
const checks = new Map<string, Check>();

/** Throws PLUGIN_FAILED, which names plugin and call, when an answer is not what was asked for. */
export function checkAnswer(plugin: string, what: keyof typeof shapes, answer: unknown): void {
  const shape = shapes[what];
  if (!shape) return;
  let check = checks.get(what);
  if (!check) checks.set(what, (check = compile(shape)));
  if (check.valid(answer)) return;
  throw new RclawError(
    "PLUGIN_FAILED",
    `plugin "${plugin}" answered ${what} with something else: ${describeIssues(check.issues(answer).slice(0, 3))}`,
    { details: { plugin } },
  );
}
