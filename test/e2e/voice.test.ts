import { expect, test } from "vitest";
import { startFresh } from "../support/fresh.ts";
import { ask, type Product, startProduct, tempState } from "../support/product.ts";
import { type Client, createDevice } from "../support/ws-client.ts";

const node = (product: Product, platform = "ios"): Promise<Client> =>
  product.connect({
    role: "node",
    scopes: [],
    client: { id: "openclaw-ios", mode: "node", platform, version: "2026.2.26" },
    caps: ["voiceWake"],
    device: createDevice(),
  });

const isChange = ({ event }: { event?: string }): boolean => event === "voicewake.changed";

test("a node learns the wake words right after its greeting, and of every change, also after a crash", async () => {
  await using state = await tempState();
  {
    await using product = await startProduct({ stateDir: state.dir, config: {} });
    const first = await node(product);
    expect(await first.find(isChange)).toEqual({
      type: "event",
      event: "voicewake.changed",
      payload: { triggers: ["openclaw", "claude", "computer"] },
    });
    const operator = await product.connect();
    expect(await ask(operator, "voicewake.set", { triggers: ["rclaw"] })).toEqual({ triggers: ["rclaw"] });
    const heard = await operator.find(isChange);
    expect(heard).toMatchObject({ payload: { triggers: ["rclaw"] }, seq: expect.any(Number) as number });
    const told = await first.find((frame) => isChange(frame) && frame.seq !== undefined);
    expect(told.payload).toEqual({ triggers: ["rclaw"] });
    await ask(operator, "tts.enable");
    await product.kill();
  }
  await using product = await startProduct({ stateDir: state.dir });
  expect((await (await node(product)).find(isChange)).payload).toEqual({ triggers: ["rclaw"] });
  const operator = await product.connect();
  expect(await ask(operator, "voicewake.get")).toEqual({ triggers: ["rclaw"] });
  expect(await ask(operator, "tts.status")).toMatchObject({ enabled: true });
});

test("talk mode reaches phones and desks, and a page needs a phone for it", async () => {
  await using product = await startFresh({ config: {} });
  const page = await product.connect({
    client: { id: "webchat-ui", mode: "webchat" },
    headers: { origin: "http://localhost" },
  });
  expect((await page.request("talk.mode", { enabled: true })).error).toEqual({
    code: "UNAVAILABLE",
    message: "talk disabled: no connected iOS/Android nodes",
  });
  expect((await page.request("talk.mode", { enabled: 1 })).ok).toBe(false);
  const phone = await node(product);
  const answer = await ask(page, "talk.mode", { enabled: true, phase: "listening" });
  expect(answer).toEqual({ enabled: true, phase: "listening", ts: expect.any(Number) as number });
  for (const client of [page, phone]) {
    const { payload } = await client.find(({ event }) => event === "talk.mode");
    expect(payload).toEqual(answer);
  }
  expect((await phone.request("voicewake.get")).error?.message).toBe("unauthorized role: node");
});

test("SEC-143 the keys of speech go to whoever has the scope, and to nobody else", async () => {
  await using product = await startFresh({
    config: {
      talk: { provider: "elevenlabs", providers: { elevenlabs: { apiKey: "c4n4ry", voiceId: "v" } } },
    },
  });
  const reader = await product.connect({ scopes: ["operator.read"] });
  expect(await ask(reader, "talk.config")).toMatchObject({
    config: { talk: { apiKey: "__OPENCLAW_REDACTED__", voiceId: "v" } },
  });
  expect((await reader.request("talk.config", { includeSecrets: true })).error).toEqual({
    code: "INVALID_REQUEST",
    message: "missing scope: operator.talk.secrets",
  });
  const app = await product.connect({ scopes: ["operator.read", "operator.talk.secrets"] });
  expect(await ask(app, "talk.config", { includeSecrets: true })).toMatchObject({
    config: {
      talk: { apiKey: "c4n4ry", resolved: { provider: "elevenlabs", config: { apiKey: "c4n4ry" } } },
    },
  });
  expect((await app.request("config.schema")).error?.message).toBe("missing scope: operator.admin");
});
