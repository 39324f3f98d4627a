import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { expect, test } from "vitest";
import agent from "../../../plugins/services/agent/index.ts";
import approvals from "../../../plugins/services/approvals/index.ts";
import cron from "../../../plugins/services/cron/index.ts";
import nodes from "../../../plugins/services/nodes/index.ts";
import voice from "../../../plugins/services/voice/index.ts";

test("what is kept is handed out, what is not there is undefined, and what is something else is named with its file", async () => {
  const { storage } = createTestContext({ id: "notes" }).context;
  const read = (): Promise<unknown> => kept(storage, "list", Array.isArray);
  expect(await read()).toBeUndefined();
  await storage.set("list", ["a"]);
  expect(await read()).toEqual(["a"]);
  await storage.set("list", 42);
  await expect(read()).rejects.toMatchObject({
    code: "STORE_DEGRADED",
    message: expect.stringContaining('/state/plugins/notes/storage.json holds as "list"'),
  });
});

/** Their own keys, each with what somebody else might have put there. */
test.each([
  ["jobs", cron, "cron.list", {}, "jobs", 42],
  ["a job without a schedule", cron, "cron.list", {}, "jobs", [{ id: "a", enabled: true }]],
  ["wake words", voice, "voicewake.get", {}, "voicewake", ["hey"]],
  ["approvals", approvals, "exec.approvals.get", {}, "file", { version: 99 }],
  ["paired nodes", nodes, "node.pair.list", {}, "pairing", { paired: [] }],
  ["system events", agent, "wake", { mode: "next-heartbeat", text: "hi" }, "systemLines", "hi"],
])(
  "%s of another form are refused rather than forgotten",
  async (_what, plugin, method, params, key, value) => {
    const bench = createTestContext<never>({
      id: "bench",
      config: { enabled: true, maxConcurrentRuns: 1 } as never,
    });
    const { storage } = bench.context;
    await storage.set(key, value);
    const asked = bench.activate(plugin as never).then(() => bench.call(method, params));
    await expect(asked).rejects.toMatchObject({ code: "STORE_DEGRADED" });
    expect(await storage.get(key)).toEqual(value);
    await bench[Symbol.asyncDispose]();
  },
);
