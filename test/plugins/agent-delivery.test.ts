import { fakeChannel, scriptedProvider } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { agentBench } from "./agent.support.ts";

const call = { message: "is the kettle on?", sessionKey: "main", deliver: true };

test("an answer that is to be delivered goes where the session's people were last", async () => {
  const telegram = fakeChannel("telegram");
  await using bench = await agentBench({
    providers: [scriptedProvider(["It is.", "Still.", "Yes."])],
    channels: [telegram],
  });
  {
    await using session = await bench.context.sessions.open("main", AbortSignal.timeout(5_000));
    await session.patch({ lastChannel: "telegram", lastTo: "42", lastAccountId: "work", lastThreadId: "7" });
  }
  await bench.call("agent", { ...call, idempotencyKey: "a" });
  await bench.call("agent", { ...call, channel: "last", idempotencyKey: "b" });
  await bench.call("agent", { ...call, channel: "telegram", to: "43", idempotencyKey: "c" });
  const place = { accountId: "work", to: "42", threadId: "7" };
  expect(telegram.sent).toMatchObject([place, place, { accountId: "default", to: "43" }]);
});

test("without such a place, and for a channel that nobody knows, it is refused before it is accepted", async () => {
  await using bench = await agentBench({
    providers: [scriptedProvider(["It is."])],
    channels: [fakeChannel("telegram")],
  });
  const refused = (params: object, method = "agent") =>
    expect(bench.call(method, { ...call, idempotencyKey: JSON.stringify(params), ...params })).rejects;
  await refused({}).toThrow(/^delivery channel is required: pass --channel/);
  await refused({ channel: "telegram" }).toThrow("delivery channel is required");
  await refused({ channel: "carrier-pigeon", to: "1" }).toThrow(
    /^invalid agent params: unknown channel: carrier-pigeon$/,
  );
  await refused({ channel: "telegram", replyChannel: "x", to: "1" }).toThrow("unknown channel: x");
  await refused({ originatingChannel: "x", originatingTo: "1" }, "chat.send").toThrow(
    /^invalid chat.send params: unknown channel: x$/,
  );
  await refused({ deliver: false, channel: "carrier-pigeon" }).toThrow("unknown channel: carrier-pigeon");
  await refused({ deliver: false, channel: "telegram", replyChannel: "x" }).toThrow("unknown channel: x");
  expect(bench.context.runs.unsettled()).toEqual([]);
  // An app says where it was asked, also where that is nothing that is here.
  const params = { ...call, deliver: false, channel: "WhatsApp", idempotencyKey: "app" };
  expect(await bench.call("agent", params)).toMatchObject({ status: "ok" });
});
