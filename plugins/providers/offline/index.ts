import { type Chunk, definePlugin, type Provider } from "@rclaw/plugin-sdk";
import { answer } from "./guide.ts";

const model = {
  id: "guide",
  name: "Built-in guide (no model)",
  contextWindow: 128_000,
  reasoning: false,
  input: ["text"],
} as const;

const guide: Provider = {
  id: "offline",
  ready: () =>
    Promise.resolve({
      ok: true,
      reason: "the built-in guide; add a key or start Ollama for a real model",
      defaultModel: model.id,
      // Behind everything that is a model.
      rank: 100,
    }),
  models: () => Promise.resolve([model]),
  stream: (request, signal) => stream(answer(request), signal),
};

/** Registers the one provider that is always ready, so that a fresh install answers its first message. */
export default definePlugin({
  activate(context) {
    context.providers.register(guide);
  },
});

/** Word by word, without an artificial pause. A plain iterator, since a generator's turns would cost more than the words. */
function stream(chunks: readonly Chunk[], signal: AbortSignal): AsyncIterable<Chunk> {
  const words = chunks.flatMap((chunk) => (chunk.type === "text" ? split(chunk.delta) : [chunk]));
  let index = 0;
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        const value = signal.aborted ? undefined : words[index++];
        return Promise.resolve(value ? { done: false, value } : { done: true, value: undefined });
      },
    }),
  };
}

function split(text: string): readonly Chunk[] {
  return (text.match(/\s*\S+\s*$|\s*\S+/g) ?? []).map((delta) => ({ type: "text", delta }));
}
