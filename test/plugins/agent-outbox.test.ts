import { type OutboundMessage, RclawError } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { createOutbox } from "../../plugins/services/agent/outbox.ts";

const retry = { attempts: 3, baseDelayMs: 1, maxDelayMs: 5, idleTimeoutMs: 1_000 };
const ada = { channel: "telegram", accountId: "default", to: "1" };
const bob = { ...ada, to: "2" };

/** A channel that fails with what is queued for a text, and notes what got through. */
function outbox(failures: Record<string, readonly Error[]>) {
  const sent: string[] = [];
  const left = new Map(Object.entries(failures).map(([text, list]) => [text, [...list]]));
  const channels = {
    async deliver(_channel: string, message: OutboundMessage) {
      const failure = left.get(message.text)?.shift();
      await new Promise(setImmediate);
      if (failure) throw failure;
      sent.push(message.text);
      return { id: `${sent.length}` };
    },
  };
  return { send: createOutbox({ channels, signal: new AbortController().signal }, { retry }), sent };
}
const away = new RclawError("UNAVAILABLE", "the channel starts anew", { retryable: true });
const nothing = (): Promise<void> => Promise.resolve();

test("answers to one place keep their order while the first has to be tried again", async () => {
  const { send, sent } = outbox({ one: [away, away] });
  const begun: string[] = [];
  const all = ["one", "two", "three"].map((text) =>
    send(ada, text, async () => void begun.push(`${text} after ${sent.length}`)),
  );
  await Promise.all(all);
  expect(sent).toEqual(["one", "two", "three"]);
  expect(begun).toEqual(["one after 0", "two after 1", "three after 2"]);
});

test("nobody waits for another place, or for an answer that was given up", async () => {
  const { send, sent } = outbox({ one: [away, away, away], two: [new Error("refused")] });
  const first = send(ada, "one", nothing);
  const second = send(ada, "two", nothing);
  const third = send(ada, "three", nothing);
  await send(bob, "hello", nothing);
  expect(sent).toEqual(["hello"]);
  await expect(first).rejects.toThrow("the channel starts anew");
  await expect(second).rejects.toThrow("refused");
  await third;
  expect(sent).toEqual(["hello", "three"]);
});
