import { stat } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { startFresh } from "../../support/fresh.ts";
import { ask, type Product } from "../../support/product.ts";
import type { Client } from "../../support/ws-client.ts";

const key = "sk-ant-CANARY-0123456789abcdefghij";

interface Step {
  readonly id: string;
  readonly type: string;
  readonly title?: string;
  readonly message?: string;
  readonly sensitive?: boolean;
  readonly options?: readonly { readonly value: string }[];
}

/** Answers the step that is open. */
async function answer(client: Client, sessionId: string, step: Step, value?: unknown) {
  return ask(client, "wizard.next", { sessionId, answer: { stepId: step.id, value } });
}

async function start(product: Product, params: object = {}) {
  const client = await product.connect();
  const { sessionId, ...turn } = await ask(client, "wizard.start", params);
  return { client, sessionId: sessionId as string, turn };
}

test("a provider is set up step by step, its key stored as a secret, and its model chosen", async () => {
  await using product = await startFresh();
  const { client, sessionId, turn } = await start(product, { mode: "local", workspace: "/tmp/elsewhere" });

  expect(turn).toMatchObject({ done: false, status: "running", step: { type: "note", executor: "client" } });
  expect(await ask(client, "wizard.status", { sessionId })).toEqual({ status: "running" });

  // Asking without an answer shows the same step again, also to an app that came back.
  const later = await product.connect();
  expect(await ask(later, "wizard.next", { sessionId })).toEqual(turn);

  const which = await answer(later, sessionId, turn.step);
  expect(which.step.type).toBe("select");
  const values = which.step.options.map(({ value }: { value: string }) => value);
  expect(values).toEqual(expect.arrayContaining(["anthropic", "openai", "openai-compatible", ""]));
  expect(values).not.toContain("offline");

  const secret = await answer(later, sessionId, which.step, "anthropic");
  expect(secret.step).toMatchObject({ type: "text", title: "API key", sensitive: true });
  const sure = await answer(later, sessionId, secret.step, ` ${key} `);
  expect(sure.step.type).toBe("confirm");
  expect(await product.state.filesWith(key)).toEqual([]);

  const model = await answer(later, sessionId, sure.step, true);
  expect(model.step.type).toBe("select");
  expect(await product.state.filesWith(key)).toEqual(["secrets.json"]);
  expect((await stat(path.join(product.stateDir, "secrets.json"))).mode & 0o777).toBe(0o600);

  const last = await answer(later, sessionId, model.step, "anthropic/claude-opus-5");
  expect(last.step).toMatchObject({ type: "note", title: "Done" });
  expect(await answer(later, sessionId, last.step)).toEqual({ done: true, status: "done" });

  const { parsed } = await ask(client, "config.get");
  expect(parsed).toMatchObject({
    agents: { defaults: { model: "anthropic/claude-opus-5", workspace: "/tmp/elsewhere" } },
    models: { providers: { anthropic: { apiKey: "secret:anthropic.default" } } },
  });
  expect((await client.request("wizard.status", { sessionId })).error?.message).toBe("wizard not found");
});

test("there is one wizard at a time, and a cancelled one makes room", async () => {
  await using product = await startFresh();
  const { client, sessionId } = await start(product);

  expect((await client.request("wizard.start", {})).error).toMatchObject({
    code: "UNAVAILABLE",
    message: "wizard already running",
  });
  expect(await ask(client, "wizard.cancel", { sessionId })).toEqual({
    status: "cancelled",
    error: "cancelled",
  });
  expect((await client.request("wizard.next", { sessionId })).error?.message).toBe("wizard not found");
  await ask(client, "wizard.start", {});
});

test("who does not agree changes nothing", async () => {
  await using product = await startFresh();
  const before = await product.state.read("config.json");
  const { client, sessionId, turn } = await start(product);

  let next = await answer(client, sessionId, turn.step);
  next = await answer(client, sessionId, next.step, "anthropic");
  next = await answer(client, sessionId, next.step, key);
  next = await answer(client, sessionId, next.step, false);
  expect(next.step).toMatchObject({ type: "note", message: "Nothing was changed." });
  expect(await answer(client, sessionId, next.step)).toEqual({ done: true, status: "done" });
  expect(await product.state.read("config.json")).toBe(before);
  expect(await product.state.filesWith(key)).toEqual([]);
});

test("an answer to another step, or one that cannot be, leaves the question where it is", async () => {
  await using product = await startFresh();
  const { client, sessionId, turn } = await start(product);
  const which = await answer(client, sessionId, turn.step);

  for (const [given, message] of [
    [{ stepId: turn.step.id }, "wizard: no pending step"],
    [{ stepId: which.step.id, value: "no-such-provider" }, "wizard: the answer is none of the options"],
    [{ stepId: which.step.id, value: { a: 1 } }, "wizard: the answer is no text"],
    [
      { stepId: which.step.id, value: "x".repeat(65_537) },
      "wizard: the answer is longer than 65536 characters",
    ],
  ] as const) {
    const { error } = await client.request("wizard.next", { sessionId, answer: given });
    expect(error).toEqual({ code: "INVALID_REQUEST", message });
  }
  expect(await ask(client, "wizard.next", { sessionId })).toEqual(which);
});

test("settings that the platform refuses are asked for again, and never stored", async () => {
  await using product = await startFresh({
    // Nobody listens there.
    config: { channels: { telegram: { apiRoot: "http://127.0.0.1:9" } } },
  });
  const { client, sessionId, turn } = await start(product, { flow: "channels", channel: "telegram" });

  let next = await answer(client, sessionId, turn.step);
  expect(next.step).toMatchObject({ type: "text", sensitive: true });
  const token = "123456789:AA-CANARY-token_0123456789abcdefghi";
  next = await answer(client, sessionId, next.step, token);
  next = await answer(client, sessionId, next.step, true);
  expect(next.step).toMatchObject({ type: "note", title: "That did not work" });
  expect(next.step.message).not.toContain(token);
  next = await answer(client, sessionId, next.step);
  expect(next.step).toMatchObject({ type: "text", sensitive: true });
  expect(await product.state.filesWith(token)).toEqual([]);
});

test("what belongs to another machine, or does not exist, ends at once and says why", async () => {
  await using product = await startFresh();
  const { client, turn } = await start(product, { mode: "remote" });
  expect(turn).toMatchObject({ done: true, status: "error", error: expect.stringContaining("gateway.mode") });

  const { sessionId, step } = await ask(client, "wizard.start", { flow: "channels", channel: "pigeon" });
  expect(await answer(client, sessionId, step)).toEqual({
    done: true,
    status: "error",
    error: 'there is no channel "pigeon"',
  });
});
