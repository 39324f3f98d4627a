import { expect, test } from "vitest";
import { scriptedProvider } from "@rclaw/plugin-sdk/testing";
import { agentBench, end } from "./agent.support.ts";

const call = { message: "say hello", sessionKey: "main", idempotencyKey: "k" };
const payloads = (text: string) => ({ result: { payloads: [{ text, mediaUrl: null }] } });

/** Answers that come when they are let out, in the order of the requests. */
function gated(...texts: readonly string[]) {
  const gates = texts.map(() => {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    return { open: () => open(), opened };
  });
  const provider = scriptedProvider(
    texts.map(
      (text, i) =>
        async function* () {
          await gates[i]?.opened;
          yield { type: "text", delta: text } as const;
          yield end;
        },
    ),
  );
  return { provider, open: (i: number) => gates[i]?.open() };
}

test("a key that is used again from another connection joins the run, and later gets its very answer", async () => {
  const { provider, open } = gated("Hello.");
  await using bench = await agentBench({ providers: [provider] });
  const [first, second]: [unknown[], unknown[]] = [[], []];
  const one = bench.call("agent", call, { accepted: first });
  await bench.waitFor(({ event }) => event === "agent");
  const other = bench.caller({ connId: "conn-2" });
  const two = bench.call("agent", call, { accepted: second, caller: other });
  await expect.poll(() => second).toHaveLength(1);
  expect(second).toEqual(first);
  expect(first).toEqual([{ runId: "k", status: "accepted", acceptedAt: expect.any(Number) as number }]);
  open(0);
  const answer = await one;
  expect(answer).toMatchObject({ runId: "k", status: "ok", summary: "completed", ...payloads("Hello.") });
  expect(await two).toEqual(answer);
  const late: unknown[] = [];
  expect(await bench.call("agent", call, { accepted: late, caller: other })).toEqual(answer);
  expect(late).toEqual([]);
  expect(provider.requests).toHaveLength(1);
});

test("SEC-043: two principals with the same key get each their own answer, from every method", async () => {
  const { provider, open } = gated("For Ada.", "For Eve.");
  await using bench = await agentBench({ providers: [provider] });
  const eve = bench.caller({ principal: "client:eve" });
  const ada = bench.call("agent", { ...call, sessionKey: "agent:main:ada" });
  await bench.waitFor(({ event }) => event === "agent");
  const hers = { ...call, sessionKey: "agent:main:eve" };
  const running = bench.call("agent", hers, { caller: eve });
  const waiting = bench.call("agent.wait", { runId: "k" }, { caller: eve });
  open(0);
  expect(await ada).toMatchObject(payloads("For Ada."));
  // Hers goes on: another's end is not the end that she waits for.
  const isOver = await Promise.race([waiting, Promise.resolve("no")]);
  expect(isOver).toBe("no");
  expect(await bench.call("agent.wait", { runId: "k", timeoutMs: 1 }, { caller: eve })).toMatchObject({
    status: "timeout",
  });
  open(1);
  expect(await running).toMatchObject(payloads("For Eve."));
  expect(await waiting).toMatchObject({ runId: "k", status: "ok" });
  expect(await bench.call("agent", { ...call, sessionKey: "agent:main:ada" })).toMatchObject(
    payloads("For Ada."),
  );
  expect(await bench.call("agent", hers, { caller: eve })).toMatchObject(payloads("For Eve."));
  expect(
    await bench.call("agent.wait", { runId: "k" }, { caller: bench.caller({ principal: "client:x" }) }),
  ).toMatchObject({
    status: "ok",
  });
  expect(provider.requests).toHaveLength(2);
});
