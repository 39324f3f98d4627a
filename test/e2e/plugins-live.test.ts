import { cp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { lastWords, type ModelPeer, startModelPeer } from "../support/aimock.ts";
import { type Call, startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";
import {
  ask,
  type Product,
  rclaw,
  say,
  startProduct,
  type TempState,
  tempState,
} from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";

const poll = { timeout: 20_000, interval: 50 };
const fixtures = path.resolve(import.meta.dirname, "../fixtures/plugins");

interface Row {
  readonly id: string;
  readonly state: string;
  readonly error?: string;
  readonly restarts: number;
}

async function row(client: Client, id: string): Promise<Row> {
  const { plugins } = (await ask(client, "plugins.list")) as { plugins: Row[] };
  const found = plugins.find((plugin) => plugin.id === id);
  if (!found) throw new Error(`no plugin ${id}`);
  return found;
}

describe("a channel", () => {
  const ada = { chatId: 61, fromId: 61 };
  let state: TempState;
  let telegram: TelegramPeer;
  let model: ModelPeer;
  let product: Product;
  let client: Client;
  const calls: Call[] = [];

  beforeAll(async () => {
    state = await tempState();
    telegram = await startTelegramPeer();
    telegram.tap((call) => void calls.push(call));
    model = await startModelPeer();
    model.mock.on({ userMessage: /.*/ }, (request) => ({ content: `You said: ${lastWords(request)}` }));
    const { config, env } = model.anthropic();
    const channels = {
      telegram: { botToken: telegram.token, apiRoot: telegram.apiRoot, allowFrom: [ada.fromId] },
    };
    product = await startProduct({ stateDir: state.dir, env, config: { ...config, channels } });
    client = await product.connect();
  });

  const isConnected = async (): Promise<boolean> =>
    (await ask(client, "channels.status")).channelAccounts.telegram?.[0]?.connected ?? false;

  test("is switched off and on again while a client stays connected", async () => {
    await telegram.say({ ...ada, text: "before" });
    await expect.poll(telegram.sent, poll).toEqual(["You said: before"]);

    expect(await ask(client, "plugins.disable", { id: "telegram" })).toMatchObject({ state: "disabled" });
    expect(await row(client, "telegram")).toMatchObject({ state: "disabled" });
    const quiet = calls.length;
    await telegram.say({ ...ada, text: "while it is off" });
    expect((await say(client, "still there?")).payload.state).toBe("final");
    expect(calls.slice(quiet).filter(({ stage }) => stage === "asked")).toEqual([]);
    expect(await telegram.sent()).toHaveLength(1);

    expect(await ask(client, "plugins.enable", { id: "telegram" })).toMatchObject({ state: "active" });
    await expect.poll(telegram.sent, poll).toEqual(["You said: before", "You said: while it is off"]);
    expect(client.ws.readyState).toBe(client.ws.OPEN);
  });

  test("is reloaded and keeps its place: nothing is lost and nothing comes twice", async () => {
    const before = (await telegram.sent()).length;
    for (let i = 0; i < 6; i++) {
      await telegram.say({ ...ada, text: `message ${i}` });
      expect(await ask(client, "plugins.reload", { id: "telegram" })).toMatchObject({ state: "active" });
    }
    const wanted = Array.from({ length: 6 }, (_unused, i) => `You said: message ${i}`);
    await expect.poll(async () => (await telegram.sent()).slice(before), poll).toEqual(wanted);
  });

  test("settles in the state that was asked for last, however fast", async () => {
    const asked = ["disable", "enable", "disable", "enable", "reload", "disable"].map((verb) =>
      client.request(`plugins.${verb}`, { id: "telegram" }),
    );
    await Promise.all(asked);
    await expect.poll(async () => (await row(client, "telegram")).state, poll).toBe("disabled");
    expect(await ask(client, "plugins.enable", { id: "telegram" })).toMatchObject({ state: "active" });
    await expect.poll(isConnected, poll).toBe(true);
    const before = (await telegram.sent()).length;
    await telegram.say({ ...ada, text: "after the storm" });
    await expect
      .poll(async () => (await telegram.sent()).slice(before), poll)
      .toEqual(["You said: after the storm"]);
  });

  test("an answer under way is delivered although its channel is reloaded meanwhile", async () => {
    const before = (await telegram.sent()).length;
    model.mock.prependFixture({
      match: { userMessage: "slowly" },
      response: { content: "one two three four five six seven eight nine ten" },
      chunkSize: 5,
      streamingProfile: { ttft: 10, tps: 20 },
    });
    await telegram.say({ ...ada, text: "slowly please" });
    await client.find(
      ({ event, payload }) =>
        event === "agent" && payload.stream === "assistant" && payload.data.text.startsWith("one"),
    );
    await ask(client, "plugins.reload", { id: "telegram" });
    await expect
      .poll(async () => (await telegram.sent()).slice(before), poll)
      .toEqual(["one two three four five six seven eight nine ten"]);
  });

  test("many people who write at once are all answered", async () => {
    const before = (await telegram.sent()).length;
    const people = Array.from({ length: 25 }, (_unused, i) => 6_100 + i);
    await ask(client, "config.patch", {
      raw: JSON.stringify({ channels: { telegram: { allowFrom: [ada.fromId, ...people] } } }),
      baseHash: (await ask(client, "config.get")).hash,
    });
    await ask(client, "plugins.disable", { id: "telegram" });
    for (const id of people) await telegram.say({ chatId: id, fromId: id, text: `I am ${id}` });
    await ask(client, "plugins.enable", { id: "telegram" });
    await expect
      .poll(async () => (await telegram.sent()).slice(before).sort(), poll)
      .toEqual(people.map((id) => `You said: I am ${id}`));
  });

  test("through all of that the client saw every event", () => {
    const numbers = client.frames.flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
    expect(numbers).toEqual(numbers.map((_number, i) => (numbers[0] ?? 0) + i));
    expect(product.stderr()).toBe("");
  });
});

describe("plugins that misbehave", () => {
  const ids = ["throws", "hangs", "rejects-late", "polite"];
  let state: TempState;
  let product: Product;
  let client: Client;

  beforeAll(async () => {
    state = await tempState();
    for (const id of ids)
      await cp(path.join(fixtures, id), path.join(state.dir, "plugins", id), { recursive: true });
    product = await startProduct({
      stateDir: state.dir,
      config: {
        plugins: {
          entries: Object.fromEntries(ids.map((id) => [id, { enabled: true, runtime: "in-process" }])),
        },
      },
    });
    client = await product.connect();
  });

  test("do not keep the gateway from serving", async () => {
    expect((await say(client, "hello")).payload.state).toBe("final");
    expect((await ask(client, "health")).ok).toBe(true);
    expect(await ask(client, "polite.greet")).toEqual({ hello: "first" });
    expect(await row(client, "polite")).toMatchObject({ state: "active" });
  });

  test("one that throws is named with its reason, kept away, and tried again less and less often", async () => {
    await expect.poll(async () => (await row(client, "throws")).restarts, poll).toBeGreaterThanOrEqual(2);
    expect(await row(client, "throws")).toMatchObject({ error: "the cogs are stuck" });
    const refused = await client.request("throws.greet");
    expect(refused.ok).toBe(false);
    expect(refused.error?.message).toMatch(
      /plugin "throws" (?:failed \(the cogs are stuck\) and is kept off for \d+ s|could not start: the cogs are stuck)/,
    );
    const log = await state.read("logs/gateway.log");
    const failures = log.split("\n").filter((line) => line.includes('plugin \\"throws\\" failed'));
    const times = failures.map((line) => Date.parse((JSON.parse(line) as { time: string }).time));
    const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(pauses[1]).toBeGreaterThan((pauses[0] ?? 0) * 1.1);
  });

  test("one whose promise breaks where nobody waits is taken down alone", async () => {
    await expect
      .poll(async () => (await row(client, "rejects-late")).error, poll)
      .toBe("a promise broke in the back room");
    await expect
      .poll(async () => (await row(client, "rejects-late")).restarts, poll)
      .toBeGreaterThanOrEqual(1);
    expect(await row(client, "polite")).toMatchObject({ state: "active", restarts: 0 });
  });

  test("one that never finishes starting is given up after ten seconds", async () => {
    await expect
      .poll(async () => (await row(client, "hangs")).error, poll)
      .toMatch(/activating plugin "hangs"/);
    const { problems } = JSON.parse((await rclaw(state.dir, ["status", "--json"])).stdout) as {
      problems: string[];
    };
    expect(problems.join("\n")).toMatch(/plugin throws: the cogs are stuck/);
  });

  test("a corrected plugin runs after a reload, with its new code", async () => {
    const repaired = async (id: string, words: string): Promise<void> => {
      const text = await readFile(path.join(fixtures, "polite/index.js"), "utf8");
      await writeFile(
        path.join(state.dir, "plugins", id, "index.js"),
        text.replace("polite.greet", `${id}.greet`).replace("first", words),
      );
      expect(await ask(client, "plugins.reload", { id })).toMatchObject({ state: "active" });
      expect(await ask(client, `${id}.greet`)).toEqual({ hello: words });
    };
    await repaired("throws", "mended");
    await repaired("polite", "second");
    await repaired("polite", "third");
    expect(await row(client, "throws")).toMatchObject({ state: "active" });
  });

  test("after all of that the gateway is whole, and stops cleanly", async () => {
    expect((await say(client, "hello again")).payload.state).toBe("final");
    expect(client.ws.readyState).toBe(client.ws.OPEN);
    expect(await product.stop()).toBe(0);
  });
});
