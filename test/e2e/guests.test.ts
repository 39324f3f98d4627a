import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { startModelPeer } from "../support/aimock.ts";
import { startChatPeer } from "../support/crabline-chat.ts";
import { ask, startProduct, tempState } from "../support/product.ts";
import { serve } from "../plugins/egress-setup.ts";

const key = "sk-CANARY-0123456789abcdef";
const ada = "@ada:matrix.test";
const roomId = "!talk:matrix.test";

test("channel, model and tool each in a sandbox: a message leads to a forecast, and no secret lies about", async () => {
  await using chat = await startChatPeer("matrix");
  await using model = await startModelPeer();
  await using state = await tempState();
  const asked: string[] = [];
  const openMeteo = await serve((request, response) => {
    asked.push(request.url ?? "");
    response.setHeader("content-type", "application/json");
    const place = { results: [{ name: "Vienna", country: "Austria", latitude: 48.2, longitude: 16.4 }] };
    const weather = {
      current: { time: "2026-11-29T09:00", temperature_2m: 7, weather_code: 3 },
      daily: { time: [] },
    };
    response.end(JSON.stringify(request.url?.startsWith("/v1/search") ? place : weather));
  });
  model.answer(
    "weather",
    { toolCalls: [{ id: "call_1", name: "weather", arguments: '{"place":"Vienna"}' }] },
    { content: "Seven degrees, and overcast." },
  );
  await mkdir(state.dir, { recursive: true });
  await writeFile(
    path.join(state.dir, "secrets.json"),
    JSON.stringify({ "matrix.default": chat.token, "openai-compatible.apiKey": key }),
    { mode: 0o600 },
  );
  await using product = await startProduct({
    stateDir: state.dir,
    config: {
      models: {
        providers: {
          "openai-compatible": {
            baseUrl: `${model.url}/v1`,
            apiKey: "secret:openai-compatible.apiKey",
            models: [{ id: "small" }],
          },
        },
      },
      agents: { defaults: { model: "openai-compatible/small" } },
      tools: { weather: { geocodingBaseUrl: openMeteo.url, forecastBaseUrl: openMeteo.url } },
      channels: {
        matrix: {
          homeserver: chat.baseUrl,
          accessToken: "secret:matrix.default",
          dmPolicy: "open",
          allowFrom: ["*"],
        },
      },
    },
  });
  const client = await product.connect();
  await vi.waitFor(
    async () => expect((await chat.calls()).some(({ path: at }) => at.endsWith("/sync"))).toBe(true),
    {
      timeout: 20_000,
    },
  );
  await chat.say({ roomId, sender: ada, senderName: "Ada", text: "What is the weather like?", direct: true });
  await vi.waitFor(
    async () => {
      const sent = (await chat.calls()).filter(({ path: at }) => at.includes("/send/m.room.message/"));
      expect(sent.map(({ body }) => body?.["body"])).toEqual(["Seven degrees, and overcast."]);
    },
    { timeout: 30_000 },
  );
  expect(asked).toHaveLength(2);
  const { plugins } = (await ask(client, "plugins.top")) as { plugins: { id: string; runtime: string }[] };
  const caged = plugins.filter(({ runtime }) => runtime === "wasm").map(({ id }) => id);
  expect(caged).toEqual(expect.arrayContaining(["matrix", "openai-compatible", "weather"]));
  for (const secret of [key, chat.token])
    expect((await state.filesWith(secret)).filter((file) => file !== "secrets.json")).toEqual([]);
  expect(product.stderr()).not.toContain(key);
});
