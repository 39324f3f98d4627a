import { mkdtempSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Chunk, Tool } from "@rclaw/plugin-sdk";
import {
  createTestContext,
  type SentEvent,
  type TestContext,
  type TestContextOptions,
} from "@rclaw/plugin-sdk/testing";
import JSON5 from "json5";
import agent from "../../plugins/services/agent/index.ts";
import type { AgentsConfig } from "../../plugins/services/agent/config.ts";

export const usage = { input: 10, output: 12, cacheRead: 0, cacheWrite: 0 };
export const end: Chunk = { type: "end", stopReason: "stop", usage };

export interface Bench extends TestContext<AgentsConfig>, AsyncDisposable {
  readonly workspace: string;
  /** The run's events in order: `agent:lifecycle:start`, `chat:delta`, ... */
  story(runId: string): string[];
  until(runId: string, state: "final" | "error" | "aborted"): Promise<SentEvent>;
}

const manifest = JSON5.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../manifests/services/agent.json5"), "utf8"),
);
/** Waiting is for production; the order of things is what tests look at. */
const quick = { attempts: 3, baseDelayMs: 1, maxDelayMs: 50, idleTimeoutMs: 5_000 };

/** The agent plugin, active on a context in memory with a workspace of its own. */
export async function agentBench({
  config = {},
  ...options
}: TestContextOptions<AgentsConfig> = {}): Promise<Bench> {
  const workspace = options.workspace ?? mkdtempSync(path.join(tmpdir(), "rclaw-agent-"));
  const defaults = { userTimezone: "UTC", retry: quick, ...config.defaults };
  const channelOrder = (options.channels ?? []).map(({ id }) => id);
  const bench = createTestContext<AgentsConfig>({
    id: "agent",
    manifest,
    ...options,
    methods: { "channels.status": () => ({ channelOrder }), ...options.methods },
    workspace,
    config: { ...config, defaults },
  });
  await bench.activate(agent);
  return {
    ...bench,
    workspace,
    story: (runId) => bench.events.flatMap((event) => tell(event, runId)),
    until: (runId, state) =>
      bench.waitFor(
        ({ event, payload }) => event === "chat" && payload["runId"] === runId && payload["state"] === state,
      ),
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      if (!options.workspace) await rm(workspace, { recursive: true, force: true });
    },
  };
}

function tell({ event, payload }: SentEvent, runId: string): string[] {
  if (payload["runId"] !== runId) return [];
  if (event === "chat") return [`chat:${String(payload["state"])}`];
  const { phase } = payload["data"] as { phase?: string };
  return [`agent:${String(payload["stream"])}${phase ? `:${phase}` : ""}`];
}

export function textTool(name: string, run: (params: unknown) => string | Promise<string>): Tool {
  return {
    name,
    description: `Does ${name}. For tests.`,
    params: { type: "object" },
    execute: async (params) => ({ content: await run(params) }),
  };
}

export const chatText = ({ payload }: SentEvent): string | undefined =>
  (payload["message"] as { content: { text: string }[] } | undefined)?.content[0]?.text;
