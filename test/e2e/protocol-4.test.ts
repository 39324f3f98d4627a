import { beforeAll, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { token } from "../support/product.ts";
import { streamFaults } from "../support/replay.ts";
import { type Client, connectClient, type ConnectOptions, type Frame } from "../support/ws-client.ts";

const said = "One answer for two clients, in pieces that are small enough to be counted.";

const product = freshForAll({
  model: "openai-completions",
  config: {
    models: { providers: { openai: { models: [{ id: "m" }] } } },
    agents: { defaults: { model: "openai/m" } },
  },
});
beforeAll(() => {
  const { mock } = product.model;
  mock.onMessage("abort me", { content: said }, { chunkSize: 4, latency: 250 });
  mock.onMessage(/./, { content: said }, { chunkSize: 4, latency: 15 });
});

async function speaking(
  version: 3 | 4,
  options: ConnectOptions = {},
): Promise<{ client: Client; hello: Frame["payload"] }> {
  const range = { minProtocol: version, maxProtocol: version };
  const { client, answer } = await connectClient(product.url, { token, ...range, ...options });
  return { client, hello: answer.payload };
}

const events = (client: Client, run: string, state?: string): Frame["payload"][] =>
  client.frames
    .filter(
      ({ event, payload }) =>
        event === "chat" && payload.runId === run && (state === undefined || payload.state === state),
    )
    .map(({ payload }) => payload);
const ended = (client: Client, run: string): Promise<Frame> =>
  client.find(({ event, payload }) => event === "chat" && payload.runId === run && payload.state !== "delta");

/** Numbers of the numbered frames this connection got after hello-ok. */
const numbers = (client: Client): number[] =>
  client.frames.flatMap(({ type, seq }) => (type === "event" && seq !== undefined ? [seq] : []));
const expectNoGap = (client: Client): void => {
  const seen = numbers(client);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen).toEqual(seen.map((_, i) => (seen[0] ?? 0) + i));
};

test("a client of 4 and one of 3 each get the protocol they speak, side by side", async () => {
  const [four, three] = await Promise.all([speaking(4), speaking(3)]);
  expect(four.hello).toMatchObject({ protocol: 4, auth: { role: "operator", scopes: ["operator.admin"] } });
  expect(three.hello).toMatchObject({ protocol: 3, auth: { role: "operator", scopes: ["operator.admin"] } });
  expect(Object.keys(four.hello).sort()).toEqual(Object.keys(three.hello).sort());

  const started = await four.client.request("chat.send", {
    sessionKey: "main",
    message: "hello",
    idempotencyKey: "v4-1",
  });
  expect(started.payload).toEqual({ runId: "v4-1", status: "started" });
  for (const { client } of [four, three]) {
    await ended(client, "v4-1");
    const deltas = events(client, "v4-1", "delta");
    const [final] = events(client, "v4-1", "final");
    expect(final.message.content).toEqual([{ type: "text", text: said }]);
    expect(deltas.length).toBeGreaterThan(1);
    // What a client of 4 puts together from the pieces is what one of 3 reads in the snapshots.
    expect(deltas.map(({ deltaText }) => deltaText).join("")).toBe(said);
    expect(deltas.at(-1).message.content[0].text).toBe(said);
    expect(streamFaults(client.frames, "v4-1")).toEqual([]);
    expectNoGap(client);
  }
  expect(events(four.client, "v4-1")).toEqual(events(three.client, "v4-1"));
  await Promise.all([four.client.close(), three.client.close()]);
});

test("the numbers of one connection have no gap when others get events of their own", async () => {
  const watching = await speaking(4, { caps: ["tool-events"] });
  const reader = await speaking(3, { scopes: ["operator.read"] });
  for (const run of ["v4-2", "v4-3", "v4-4"]) {
    await watching.client.request("chat.send", {
      sessionKey: `agent:main:${run}`,
      message: "hello",
      idempotencyKey: run,
    });
  }
  for (const { client } of [watching, reader]) {
    for (const run of ["v4-2", "v4-3", "v4-4"]) await ended(client, run);
    expectNoGap(client);
  }
  await Promise.all([watching.client.close(), reader.client.close()]);
});

test("a run that is stopped still sends its last piece before the end", async () => {
  const { client } = await speaking(4);
  await client.request("chat.send", {
    sessionKey: "agent:main:stopped",
    message: "abort me",
    idempotencyKey: "v4-5",
  });
  await client.find(
    ({ event, payload }) => event === "agent" && payload.runId === "v4-5" && payload.stream === "assistant",
  );
  const answer = await client.request("chat.abort", { sessionKey: "agent:main:stopped" });
  expect(answer.payload).toMatchObject({ aborted: true, runIds: ["v4-5"] });
  await ended(client, "v4-5");
  const pieces = events(client, "v4-5", "delta").map(({ deltaText }) => deltaText);
  const [aborted] = events(client, "v4-5", "aborted");
  expect(aborted).toMatchObject({ stopReason: "rpc" });
  expect(aborted.message.content[0].text).toBe(pieces.join(""));
  await client.close();
});

test("members that only 4 has are taken, and nobody is answered in a protocol nobody asked for", async () => {
  const { client } = await speaking(4);
  client.send({
    type: "req",
    id: "t",
    method: "health",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  expect(await client.find(({ id }) => id === "t")).toMatchObject({ ok: true });
  client.send({ type: "req", id: "p", method: "health", expectedProfileId: "p1" });
  expect(await client.find(({ id }) => id === "p")).toMatchObject({ ok: true });
  await client.close();

  const mixed = await connectClient(product.url, { token, minProtocol: 1, maxProtocol: 9 });
  expect(mixed.answer.payload.protocol).toBe(4);
  await mixed.client.close();
  const ahead = await connectClient(product.url, { token, minProtocol: 5, maxProtocol: 9 });
  expect(ahead.answer.error).toMatchObject({ message: "protocol mismatch" });
  expect(await ahead.client.closed).toEqual({ code: 1002, reason: "protocol mismatch" });
});
