import path from "node:path";
import { silent } from "../../kernel/log.ts";
import { SessionStore } from "../../plugins/services/sessions/store.ts";

const batch = 2_000;

function openStore(stateDir: string): Promise<SessionStore> {
  return SessionStore.open({
    dir: path.join(stateDir, "sessions"),
    keys: { defaultAgentId: "main", mainKey: "main" },
    log: silent,
  });
}

/** Many sessions of a few entries each. */
export async function writeSessions(stateDir: string, count: number): Promise<void> {
  const store = await openStore(stateDir);
  await Promise.all(
    Array.from({ length: count }, async (_unused, index) => {
      const key = `agent:main:telegram:direct:${4_200_000 + index}`;
      await using session = await store.open(key, new AbortController().signal);
      await session.patch({
        channel: "telegram",
        chatType: "direct",
        displayName: `Person ${index}`,
        lastChannel: "telegram",
        lastTo: `${4_200_000 + index}`,
        modelProvider: "offline",
        model: "guide",
        inputTokens: 10,
        outputTokens: 20,
        totalTokens: 10,
      });
      await session.append(messageEntry(0), messageEntry(1));
    }),
  );
  await store.close();
}

/** A conversation of many entries, written by the store itself. */
export async function writeTranscript(stateDir: string, key: string, count: number): Promise<void> {
  const store = await openStore(stateDir);
  {
    await using session = await store.open(key, new AbortController().signal);
    for (let done = 0; done < count; done += batch) {
      const entries = Array.from({ length: Math.min(batch, count - done) }, (_unused, index) =>
        messageEntry(done + index),
      );
      await session.append(...entries);
    }
  }
  await store.close();
}

function messageEntry(number: number) {
  const isUser = number % 2 === 0;
  const text = `Entry ${number}. ${"The quick brown fox jumps over the lazy dog. ".repeat(isUser ? 2 : 6)}`;
  const content = [{ type: "text", text }];
  const timestamp = 1_760_000_000_000 + number * 1_000;
  if (isUser) return { type: "message", message: { role: "user", content, timestamp } };
  const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0 };
  return {
    type: "message",
    message: {
      role: "assistant",
      content,
      provider: "offline",
      model: "guide",
      usage,
      stopReason: "stop",
      timestamp,
    },
  };
}
