import path from "node:path";
import { silent } from "../../kernel/log.ts";
import { SessionStore } from "../../plugins/services/sessions/store.ts";

const batch = 2_000;

/** A conversation of many entries, written by the store itself. */
export async function writeTranscript(stateDir: string, key: string, count: number): Promise<void> {
  const store = await SessionStore.open({
    dir: path.join(stateDir, "sessions"),
    keys: { defaultAgentId: "main", mainKey: "main" },
    log: silent,
  });
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
