import { readFileSync } from "node:fs";
import path from "node:path";
import { isRclawError, type Manifest } from "@rclaw/plugin-sdk";
import type { ConnectedClient } from "@rclaw/plugin-sdk/gateway";
import { createTestContext, type TestContext } from "@rclaw/plugin-sdk/testing";
import json5 from "json5";
import { expect, onTestFinished, test } from "vitest";
import voice from "../../../plugins/services/voice/index.ts";

const manifest = json5.parse<Manifest>(
  readFileSync(path.resolve(import.meta.dirname, "../../../manifests/services/voice.json5"), "utf8"),
);

interface Options {
  readonly talk?: Readonly<Record<string, unknown>>;
  /** The file as `config.get` shows it, when that is another thing than the section alone. */
  readonly resolved?: object;
  readonly clients?: readonly ConnectedClient[];
  readonly secrets?: Readonly<Record<string, string>>;
}

async function active({ talk = {}, resolved = { talk }, ...options }: Options = {}): Promise<
  TestContext<unknown>
> {
  const methods = { "config.get": () => ({ resolved }) };
  const bench = createTestContext({ id: "voice", manifest, config: talk, methods, ...options });
  onTestFinished(() => bench[Symbol.asyncDispose]());
  await bench.activate(voice);
  return bench;
}

const refusal = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => expect.fail("it was not refused"),
    (error: unknown) => (isRclawError(error) ? [error.code, error.message, error.details] : error),
  );

const phone = (platform: string, connId = "phone"): ConnectedClient => ({
  caller: {
    kind: "client",
    principal: "client:phone",
    role: "node",
    scopes: [],
    connId,
    caps: [],
    isOwner: true,
  },
  connectedAt: 0,
  node: { client: { id: "openclaw-ios", version: "1", platform, mode: "node" }, caps: [], commands: [] },
  ended: new AbortController().signal,
});

test("the usual wake words are there until somebody sets others", async () => {
  const { call, events } = await active();
  expect(await call("voicewake.get")).toEqual({ triggers: ["openclaw", "claude", "computer"] });
  expect(await call("voicewake.set", { triggers: [" rclaw ", "", 5, "hey you"] })).toEqual({
    triggers: ["rclaw", "hey you"],
  });
  expect(events).toEqual([{ event: "voicewake.changed", payload: { triggers: ["rclaw", "hey you"] } }]);
  expect(await call("voicewake.get")).toEqual({ triggers: ["rclaw", "hey you"] });
  expect(await call("voicewake.set", { triggers: [] })).toEqual({
    triggers: ["openclaw", "claude", "computer"],
  });
});

test("wake words are at most 32 of 64 characters", async () => {
  const { call } = await active();
  const { triggers } = (await call("voicewake.set", {
    triggers: Array.from({ length: 40 }, (_item, i) => `${i} ${"x".repeat(100)}`),
  })) as { triggers: string[] };
  expect(triggers).toHaveLength(32);
  expect(triggers.every((word) => word.length === 64)).toBe(true);
});

test.each([[{}], [{ triggers: "rclaw" }], [{ triggers: null }]])(
  "%o is no list of wake words",
  async (params) => {
    const { call } = await active();
    expect(await refusal(call("voicewake.set", params))).toEqual([
      "INVALID_REQUEST",
      "voicewake.set requires triggers: string[]",
      undefined,
    ]);
  },
);

test("a node hears the wake words when it has connected, and nobody else does", async () => {
  const desk = { ...phone("darwin", "desk"), node: undefined } as unknown as ConnectedClient;
  const { tell, waitFor, events } = await active({ clients: [desk, phone("ios")] });
  tell("client.connected", { connId: "desk" });
  tell("client.connected", { connId: "phone" });
  await waitFor(({ connId }) => connId === "phone");
  expect(events).toEqual([
    {
      event: "voicewake.changed",
      payload: { triggers: ["openclaw", "claude", "computer"] },
      connId: "phone",
    },
  ]);
});

test("nothing set about talking is nothing said, and what is set elsewhere comes along", async () => {
  expect(await (await active({ resolved: {} })).call("talk.config")).toEqual({ config: {} });
  const resolved = { session: { mainKey: "home" }, ui: { seamColor: "#00ff00" } };
  expect(await (await active({ resolved })).call("talk.config")).toEqual({
    config: { session: { mainKey: "home" }, ui: { seamColor: "#00ff00" } },
  });
});

test("older and newer apps find the active provider where they look for it", async () => {
  const providers = { elevenlabs: { voiceId: "v", apiKey: "k" }, other: { voiceId: "w" } };
  const talk = { interruptOnSpeech: false, silenceTimeoutMs: 900, provider: "elevenlabs", providers };
  expect(await (await active({ talk })).call("talk.config")).toEqual({
    config: {
      talk: {
        interruptOnSpeech: false,
        silenceTimeoutMs: 900,
        provider: "elevenlabs",
        providers,
        voiceId: "v",
        apiKey: "k",
        resolved: { provider: "elevenlabs", config: { voiceId: "v", apiKey: "k" } },
      },
    },
  });
});

test("settings without a provider are ElevenLabs', and of several providers none is guessed", async () => {
  expect(await (await active({ talk: { voiceId: "v" } })).call("talk.config")).toMatchObject({
    config: { talk: { provider: "elevenlabs", providers: { elevenlabs: { voiceId: "v" } }, voiceId: "v" } },
  });
  const { config } = (await (
    await active({ talk: { providers: { a: {}, b: {} } } })
  ).call("talk.config")) as {
    config: object;
  };
  expect(config).toEqual({ talk: { providers: { a: {}, b: {} } } });
});

test("SEC-143 a key of speech is shown only to whoever may see it, looked up for them", async () => {
  const bench = await active({
    talk: { apiKey: "secret:talk.elevenlabs" },
    resolved: { talk: { apiKey: "__OPENCLAW_REDACTED__" } },
    secrets: { "talk.elevenlabs": "c4n4ry" },
  });
  const ask = (scopes: readonly string[], params = { includeSecrets: true }): Promise<unknown> =>
    bench.call("talk.config", params, { caller: bench.caller({ scopes: scopes as never }) });
  for (const scopes of [["operator.read"], ["operator.write"], ["operator.read", "operator.approvals"]])
    expect(await refusal(ask(scopes))).toEqual([
      "INVALID_REQUEST",
      "missing scope: operator.talk.secrets",
      undefined,
    ]);
  expect(JSON.stringify(await ask(["operator.admin"], { includeSecrets: false }))).not.toContain("c4n4ry");
  for (const scopes of [["operator.admin"], ["operator.read", "operator.talk.secrets"]])
    expect(await ask(scopes)).toMatchObject({ config: { talk: { apiKey: "c4n4ry" } } });
});

test("talk mode is told to everybody", async () => {
  const { call, events } = await active();
  const answer = await call("talk.mode", { enabled: true, phase: "listening" });
  expect(answer).toEqual({ enabled: true, phase: "listening", ts: expect.any(Number) as number });
  expect(events).toEqual([{ event: "talk.mode", payload: answer }]);
  expect(await call("talk.mode", { enabled: false })).toMatchObject({ enabled: false, phase: null });
});

test("a page can switch talk mode only when there is a phone", async () => {
  const ofPage = (bench: TestContext<unknown>): Promise<unknown> =>
    bench.call(
      "talk.mode",
      { enabled: true },
      {
        caller: bench.caller({ client: { id: "openclaw-control-ui", mode: "webchat" } }),
      },
    );
  for (const clients of [[], [phone("linux")]])
    expect(await refusal(ofPage(await active({ clients })))).toEqual([
      "UNAVAILABLE",
      "talk disabled: no connected iOS/Android nodes",
      undefined,
    ]);
  for (const platform of ["iOS 18.1", "iPadOS", "android 15"])
    expect(await ofPage(await active({ clients: [phone(platform)] }))).toMatchObject({ enabled: true });
});

test("what would make a sound says that nothing does, and that the app may use its own voice", async () => {
  const { call } = await active();
  expect(await refusal(call("talk.speak", { text: "hello" }))).toEqual([
    "UNAVAILABLE",
    "talk.speak unavailable: talk provider not configured",
    { reason: "talk_unconfigured", fallbackEligible: true },
  ]);
  const named = await active({ talk: { provider: "elevenlabs" } });
  expect(await refusal(named.call("talk.speak", { text: "hello" }))).toEqual([
    "UNAVAILABLE",
    'talk.speak unavailable: speech provider "elevenlabs" does not support Talk mode',
    { reason: "talk_provider_unsupported", fallbackEligible: true },
  ]);
  for (const method of ["talk.session.create", "talk.client.create"])
    expect(await refusal(call(method))).toMatchObject([
      "UNAVAILABLE",
      "No realtime voice provider registered",
      { talkIssue: { code: "realtime_unavailable", phase: "request" } },
    ]);
  expect(await call("talk.catalog")).toMatchObject({
    realtime: { providers: [] },
    speech: { providers: [] },
  });
});

test("spoken answers are a wish that is kept, and converting says what is missing", async () => {
  const { call } = await active();
  expect(await call("tts.status")).toMatchObject({
    enabled: false,
    auto: "off",
    provider: "edge",
    fallbackProvider: null,
    fallbackProviders: [],
    prefsPath: expect.stringContaining("storage.json") as string,
    hasOpenAIKey: false,
    hasElevenLabsKey: false,
    edgeEnabled: false,
  });
  expect(await call("tts.enable")).toEqual({ enabled: true });
  expect(await call("tts.setProvider", { provider: " openai " })).toEqual({ provider: "openai" });
  expect(await call("tts.status")).toMatchObject({ enabled: true, auto: "always", provider: "openai" });
  expect(await refusal(call("tts.convert", { text: "hello" }))).toEqual([
    "UNAVAILABLE",
    "TTS conversion failed: openai: no API key; elevenlabs: no API key; edge: disabled",
    undefined,
  ]);
  expect(await call("tts.disable")).toEqual({ enabled: false });
  const { providers, active: chosen } = (await call("tts.providers")) as {
    providers: { id: string; configured: boolean; missing?: string }[];
    active: string;
  };
  expect(chosen).toBe("openai");
  expect(providers.map(({ id, configured, missing }) => [id, configured, missing])).toEqual([
    ["openai", false, undefined],
    ["elevenlabs", false, undefined],
    ["edge", false, undefined],
  ]);
});

test.each([
  ["tts.convert", {}, "INVALID_REQUEST", "tts.convert requires text"],
  ["tts.convert", { text: "  " }, "INVALID_REQUEST", "tts.convert requires text"],
  ["tts.convert", { text: "x".repeat(4_097) }, "UNAVAILABLE", "Text too long (4097 chars, max 4096)"],
  ["tts.speak", { text: " " }, "INVALID_REQUEST", "tts.speak requires text"],
  [
    "tts.setProvider",
    { provider: "acme" },
    "INVALID_REQUEST",
    "Invalid provider. Use openai, elevenlabs, or edge.",
  ],
  [
    "tts.setPersona",
    { persona: "acme" },
    "INVALID_REQUEST",
    "Invalid persona. Use a configured TTS persona id.",
  ],
  ["talk.speak", { text: " " }, "INVALID_REQUEST", "talk.speak requires text"],
])("%s with %o is refused", async (method, params, code, message) => {
  const { call } = await active();
  expect(await refusal(call(method, params))).toEqual([code, message, undefined]);
});
