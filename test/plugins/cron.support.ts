import { createTestContext, type TestContext, type TestContextOptions } from "@rclaw/plugin-sdk/testing";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { afterEach, beforeEach, vi } from "vitest";
import cron from "../../plugins/services/cron/index.ts";
import type { CronConfig } from "../../plugins/services/cron/cron.ts";

export const start = Date.parse("2026-03-28T12:00:00Z");
export const minute = 60_000;
export const hour = 60 * minute;
export const reminder = { kind: "systemEvent", text: "tick" };
export const turn = { kind: "agentTurn", message: "look around" };

/** Time goes on only when a test says so. */
export function withClock(): void {
  beforeEach(() => void vi.useFakeTimers({ now: start }));
  afterEach(() => void vi.useRealTimers());
}

export type Asked = Readonly<Record<string, unknown>>;
export interface Bench extends TestContext<CronConfig> {
  /** What was asked of the assistant, in order. */
  readonly asked: Asked[];
}

export const answerOf = (text: string): object => ({
  status: "ok",
  result: {
    payloads: [{ text }],
    meta: {
      agentMeta: {
        sessionId: "s1",
        provider: "mock",
        model: "m",
        usage: { input: 1, output: 2, total: 3 },
      },
    },
  },
});

/** The plugin with an assistant that answers at once. A storage handed in has been there before. */
export async function bench({
  agent = () => answerOf("all is well"),
  storage,
  config,
  ...options
}: {
  agent?: (params: Asked) => unknown;
  storage?: PluginContext["storage"];
  config?: Partial<CronConfig>;
} & Pick<TestContextOptions<CronConfig>, "serving" | "channels" | "fetch" | "state"> = {}): Promise<Bench> {
  const asked: Asked[] = [];
  const keep =
    (answer: (params: Asked) => unknown) =>
    (params: unknown): unknown => {
      asked.push(params as Asked);
      return answer(params as Asked);
    };
  const rclaw = createTestContext<CronConfig>({
    id: "cron",
    config: { enabled: true, maxConcurrentRuns: 1, ...config },
    methods: { wake: keep(() => ({ ok: true })), agent: keep(agent) },
    ...options,
  });
  if (storage) Object.assign(rclaw.context, { storage });
  await rclaw.activate(cron);
  return { ...rclaw, asked };
}

export const add = async (on: Bench, job: object): Promise<string> =>
  ((await on.call("cron.add", { delivery: { mode: "none" }, ...job })) as { id: string }).id;
export const jobs = async (on: Bench): Promise<readonly Asked[]> =>
  ((await on.call("cron.list", { includeDisabled: true })) as { jobs: Asked[] }).jobs;
export const runs = async (on: Bench): Promise<readonly Asked[]> =>
  ((await on.call("cron.runs")) as { entries: Asked[] }).entries;
export const stateOf = async (on: Bench): Promise<Asked> => (await jobs(on))[0]?.["state"] as Asked;
