import { scriptedProvider } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { agentBench } from "./agent.support.ts";

const send = { sessionKey: "main", message: "hello there", idempotencyKey: "c1" };

test("a client of protocol 4 names the agent beside the key, and a message may end the run before it", async () => {
  const provider = scriptedProvider([
    async function* (_request, signal) {
      yield { type: "text", delta: "Hello " } as const;
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
      );
    },
    "instead",
  ]);
  await using bench = await agentBench({ providers: [provider] });
  await bench.call("chat.send", { ...send, sessionKey: "main", agentId: "main", replyToId: "m1" });
  await bench.waitFor(({ payload }) => payload["state"] === "delta");
  const other = { sessionKey: "agent:main:main", agentId: "other" };
  for (const method of ["chat.send", "chat.abort"])
    await expect(bench.call(method, { ...(method === "chat.send" && send), ...other })).rejects.toThrow(
      "session key agent does not match agentId",
    );
  await bench.call("chat.send", { ...send, idempotencyKey: "c2", queueMode: "interrupt", mentions: [] });
  await bench.until("c1", "aborted");
  expect(await bench.call("agent.wait", { runId: "c2" })).toMatchObject({ status: "ok" });
  expect(
    await bench.call("chat.abort", { sessionKey: "main", agentId: "main", preserveSideRuns: true }),
  ).toEqual({ ok: true, aborted: false, runIds: [] });
});
