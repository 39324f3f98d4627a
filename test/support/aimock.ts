import { type ChatCompletionRequest, type FixtureOpts, LLMock } from "@copilotkit/aimock";
import { ending } from "./ends.ts";

type Reply = Parameters<LLMock["on"]>[1];

export interface ModelPeer extends AsyncDisposable {
  readonly url: string;
  readonly mock: LLMock;
  /** What answers a message that holds the text; `then` is what it says once it has its tool's result. */
  answer(text: string, reply: Reply, then?: Reply, options?: FixtureOpts): void;
  /** Bodies of the requests so far, in aimock's own words. */
  requests(): readonly ChatCompletionRequest[];
  /** Status of each answer so far. */
  statuses(): readonly number[];
  /** Configuration and environment of a gateway that asks this peer and nobody else. */
  anthropic(): { config: Provided; env: NodeJS.ProcessEnv };
  openai(api?: "openai-completions" | "openai-responses"): { config: Provided; env: NodeJS.ProcessEnv };
}

interface Provided {
  readonly models: object;
  readonly agents: object;
}

export const anthropicKey = "sk-ant-api03-CANARY-anthropic-0123456789";
export const openaiKey = "sk-proj-CANARY-openai-0123456789abcdef";

/** aimock: one port that speaks every provider's protocol. */
export async function startModelPeer(): Promise<ModelPeer> {
  const mock = await LLMock.create({ port: 0, journalMaxEntries: 0 });
  // Quick enough that a test of three tries does not take seconds.
  const agents = (model: string) => ({
    defaults: { model, userTimezone: "UTC", retry: { attempts: 3, baseDelayMs: 20, maxDelayMs: 5_000 } },
  });
  return ending<ModelPeer>({
    url: mock.url,
    mock,
    answer(text, reply, then, options) {
      mock.on({ userMessage: text, ...(then && { hasToolResult: false }) }, reply, options);
      if (then) mock.on({ userMessage: text, hasToolResult: true }, then, options);
    },
    requests: () =>
      mock
        .getRequests()
        .filter(({ method }) => method === "POST")
        .map(({ body }) => body as ChatCompletionRequest),
    statuses: () => mock.getRequests().map(({ response }) => response.status),
    anthropic: () => ({
      config: {
        models: { providers: { anthropic: { baseUrl: mock.url } } },
        agents: agents("anthropic/claude-sonnet-5-5"),
      },
      env: { ANTHROPIC_API_KEY: anthropicKey },
    }),
    openai: (api = "openai-completions") => ({
      config: {
        models: { providers: { openai: { baseUrl: `${mock.url}/v1`, api } } },
        agents: agents("openai/gpt-5.4"),
      },
      env: { OPENAI_API_KEY: openaiKey },
    }),
    [Symbol.asyncDispose]: () => mock.stop(),
  });
}

/** What the last tool of a request answered. */
export function toolResult({ messages }: ChatCompletionRequest): string {
  const content = messages.findLast(({ role }) => role === "tool")?.content;
  return typeof content === "string" ? content : (content ?? []).map(({ text = "" }) => text).join("");
}

/** The person's own words in a request: the last user message, without the time that stands in front. */
export function lastWords({ messages }: ChatCompletionRequest): string {
  const content = messages.findLast(({ role }) => role === "user")?.content;
  const text = typeof content === "string" ? content : (content ?? []).map(({ text = "" }) => text).join("");
  return text.replace(/^\[[^\]]*\] /, "");
}
