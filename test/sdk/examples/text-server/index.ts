import { definePlugin, RclawError } from "@rclaw/plugin-sdk";

interface Config {
  readonly baseUrl: string;
  readonly apiKey?: string;
}

const model = { id: "small", name: "Small", contextWindow: 8_000 };
const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

export default definePlugin<Config>({
  activate(ctx) {
    const { baseUrl, apiKey } = ctx.config;

    ctx.providers.register({
      id: "text-server",
      ready: async () =>
        apiKey
          ? { ok: true, reason: "the key is set", defaultModel: model.id, rank: 50 }
          : { ok: false, reason: "it has no apiKey", defaultModel: model.id, rank: 50 },
      models: async () => [model],
      async *stream({ model: id, system, messages }, signal) {
        // The configuration holds "secret:<name>"; the value itself is looked up where it is used.
        const key = await ctx.secrets.resolve(apiKey ?? "");
        const response = await ctx.fetch(`${baseUrl}/generate`, {
          method: "POST",
          headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
          body: JSON.stringify({ model: id, system, messages }),
          signal,
        });
        if (response.status === 401)
          throw new RclawError("UNAUTHORIZED", "text-server refused the API key; set it again");
        if (!response.ok || !response.body)
          throw new RclawError("UNAVAILABLE", `text-server answered ${response.status}`, { retryable: true });
        const decoder = new TextDecoder();
        for await (const piece of response.body)
          yield { type: "text", delta: decoder.decode(piece, { stream: true }) };
        yield { type: "end", stopReason: "stop", usage };
      },
    });
  },
});
