import { type ErrorCode, RclawError } from "@rclaw/plugin-sdk";
import type { Offer } from "@rclaw/plugin-sdk/boundary/calls";
import type { WireError } from "@rclaw/plugin-sdk/boundary/endpoint";
import { errorCodes } from "@rclaw/plugin-sdk/errors";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { abiOf, type Adapter, adapterFor, type Contract, identity } from "./versions.ts";

const described = compile({
  type: "object",
  required: ["abi"],
  properties: {
    abi: { type: "string" },
    tools: { type: "array", maxItems: 256, items: { type: "object" } },
    hooks: { type: "array", maxItems: 64, items: { type: "object" } },
  },
});
const answered = compile({
  anyOf: [
    { type: "object", required: ["ok"], maxProperties: 1 },
    {
      type: "object",
      required: ["err"],
      maxProperties: 1,
      properties: {
        err: {
          type: "object",
          required: ["code", "message"],
          properties: {
            code: { type: "string" },
            message: { type: "string" },
            retryable: { type: "boolean" },
            details: { type: "object" },
          },
        },
      },
    },
  ],
});

/** What a guest says of itself, as an offer. What its tools and hooks look like is checked by whoever registers them. */
export function offerOf(answer: unknown, id: string): Offer {
  const issues = described.issues(answer);
  if (issues.length > 0)
    throw new RclawError(
      "PLUGIN_FAILED",
      `plugin "${id}": rclaw_describe answered no description: ${describeIssues(issues)}`,
    );
  const { tools = [], hooks = [] } = answer as Partial<Pick<Offer, "tools" | "hooks">>;
  return { tools, hooks, channels: [], providers: [], methods: [], routes: [], commands: [] };
}

/** The adapter for what a module says it was built for; one that says nothing has no description either. */
export function adapterOf(answer: unknown, id: string, spoken: Contract): Adapter {
  const claimed = (answer as { abi?: unknown } | null)?.abi;
  if (claimed === undefined) return identity;
  const [, version] = typeof claimed === "string" ? (/^rclaw:plugin@(.+)$/.exec(claimed) ?? []) : [];
  if (version !== undefined) return adapterFor(version, `plugin "${id}"`, spoken);
  throw new RclawError(
    "ARTEFACT_REFUSED",
    `plugin "${id}" was built for ABI ${JSON.stringify(claimed).slice(0, 100)}, and this rclaw has "${abiOf(spoken)}"; build it again with this version's template`,
  );
}

/** The value of `{"ok": ...}`; throws the error of `{"err": ...}`. */
export function answerOf(answer: unknown, id: string, name: string): unknown {
  if (!answered.valid(answer))
    throw new RclawError("PLUGIN_FAILED", `plugin "${id}": ${name} answered neither {"ok"} nor {"err"}`);
  const reply = answer as { readonly ok: unknown } | { readonly err: WireError };
  if ("ok" in reply) return reply.ok;
  const { code, message, ...rest } = reply.err;
  const known = (errorCodes as readonly string[]).includes(code);
  const { retryable = false, details } = rest;
  throw new RclawError(known ? (code satisfies ErrorCode) : "PLUGIN_FAILED", message.slice(0, 4_096), {
    retryable,
    ...(details && { details }),
  });
}
