import { mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { anthropicKey, lastWords, type ModelPeer, startModelPeer, toolResult } from "../support/aimock.ts";
import { botUsername, startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";
import { ask, type Product, rclaw, startProduct, type TempState, tempState } from "../support/product.ts";
import { hasSandbox } from "../support/sandbox.ts";
import type { Client } from "../support/ws-client.ts";

const ada = { chatId: 4201, fromId: 4201, fromName: "Ada" };
const bob = { chatId: 4202, fromId: 4202, fromName: "Bob" };
const group = -1_001_234_567;
const poll = { timeout: 15_000, interval: 50 };

let state: TempState;
let telegram: TelegramPeer;
let model: ModelPeer;
let product: Product;
let client: Client;
let env: NodeJS.ProcessEnv;

async function start(config?: object): Promise<void> {
  product = await startProduct({ stateDir: state.dir, env, ...(config && { config }) });
  client = await product.connect();
}

beforeAll(async () => {
  state = await tempState();
  telegram = await startTelegramPeer();
  model = await startModelPeer();
  const provider = model.anthropic();
  env = { ...provider.env, TEST_BOT_TOKEN: telegram.token };
  await mkdir(path.join(state.dir, "workspace"));
  await writeFile(path.join(state.dir, "workspace/notes.txt"), "oxide blooms quietly\n");
  model.answer(
    "what do my notes say",
    { toolCalls: [{ name: "read", arguments: { path: "notes.txt" } }] },
    (request) => ({
      content: `They say: ${toolResult(request)}`,
    }),
  );
  model.answer(
    "which files are there",
    { toolCalls: [{ name: "exec", arguments: { command: "ls" } }] },
    (request) => ({
      content: `I saw: ${toolResult(request)}`,
    }),
  );
  model.mock.on({ userMessage: /.*/ }, (request) => ({ content: `You said: ${lastWords(request)}` }));
  await start({
    ...provider.config,
    channels: {
      telegram: {
        botToken: "${TEST_BOT_TOKEN}",
        apiRoot: telegram.apiRoot,
        groupAllowFrom: [ada.fromId],
        groups: { [group]: {} },
      },
    },
  });
});

const inGroup = (text: string, sender = ada) => {
  const offset = text.indexOf(`@${botUsername}`);
  const entities = offset < 0 ? [] : [{ type: "mention", offset, length: botUsername.length + 1 }];
  return { chatId: group, fromId: sender.fromId, fromName: sender.fromName, text, entities };
};

test("a stranger gets one code, and nothing else happens", async () => {
  const first = await telegram.say({ ...ada, text: "what do my notes say?" });
  await expect.poll(telegram.sent, poll).toHaveLength(1);
  for (const text of ["hello?", "is anybody there?", "/new"]) {
    await telegram.confirmed(await telegram.say({ ...ada, text }));
  }
  await telegram.redeliver(first);

  const [asked] = await telegram.calls("sendMessage");
  expect(asked).toMatchObject({ chat_id: String(ada.chatId) });
  expect(String(asked?.["text"])).toMatch(/rclaw pairing approve telegram [A-Z2-9]{8}\b/);
  expect(await telegram.sent()).toHaveLength(1);
  expect(await telegram.calls("sendChatAction")).toEqual([]);
  expect(await telegram.calls("getFile")).toEqual([]);
  expect(model.requests()).toEqual([]);
  expect((await ask(client, "sessions.list")).sessions).toEqual([]);
  expect(await readdir(path.join(state.dir, "sessions/transcripts")).catch(() => [])).toEqual([]);
  expect(await state.filesWith("what do my notes say")).toEqual([]);
});

test("the code lets in this person at the command line, once, and nobody else", async () => {
  const { stdout } = await rclaw(state.dir, ["pairing", "list", "--json"]);
  const [request] = (JSON.parse(stdout) as { requests: { code: string; id: string }[] }).requests;
  const code = request?.code ?? "";
  expect(request).toMatchObject({ id: String(ada.fromId) });

  const wrong = await rclaw(state.dir, ["pairing", "approve", "telegram", "AAAAAAAA"]);
  expect(wrong).toMatchObject({ code: 1, stdout: "" });
  expect(wrong.stderr).toMatch(/^rclaw: .*\[NOT_FOUND\]\n$/);
  expect((await rclaw(state.dir, ["pairing", "approve", "webchat", code])).code).not.toBe(0);

  const right = await rclaw(state.dir, ["pairing", "approve", "telegram", code]);
  expect(right).toMatchObject({ code: 0 });
  await expect.poll(telegram.sent, poll).toHaveLength(2);
  expect((await telegram.sent())[1]).toContain("You are let in");
  expect((await rclaw(state.dir, ["pairing", "approve", "telegram", code])).code).toBe(1);

  await telegram.say({ ...bob, text: "let me in as well" });
  await expect.poll(telegram.sent, poll).toHaveLength(3);
  expect((await telegram.sent())[2]).not.toContain(code);
  expect(model.requests()).toEqual([]);
});

test("SEC-065: strangers cannot pile up codes: three wait at most, and the others hear nothing", async () => {
  for (const id of [4_203, 4_204, 4_205, 4_206]) {
    await telegram.confirmed(await telegram.say({ chatId: id, fromId: id, text: "me too" }));
  }
  await expect.poll(telegram.sent, poll).toHaveLength(5);
  const { requests } = JSON.parse((await rclaw(state.dir, ["pairing", "list", "--json"])).stdout) as {
    requests: { code: string }[];
  };
  expect(new Set(requests.map(({ code }) => code)).size).toBe(3);
});

test("who is let in gets an answer that used a tool", async () => {
  await telegram.say({ ...ada, text: "what do my notes say?" });
  await expect.poll(telegram.sent, poll).toHaveLength(6);
  expect((await telegram.sent())[5]).toContain("oxide blooms quietly");

  await telegram.say({ ...ada, text: "which files are there?" });
  await expect.poll(telegram.sent, poll).toHaveLength(7);
  const said = (await telegram.sent())[6];
  if (hasSandbox) expect(said).toContain("I saw: notes.txt");
  else expect(said).toMatch(/sandbox/i);
  expect(await telegram.calls("sendChatAction")).not.toEqual([]);
  expect((await ask(client, "sessions.list")).sessions).toHaveLength(1);
});

test("in a group only somebody who may, and who names the bot, is answered, there", async () => {
  const before = (await telegram.sent()).length;
  const requests = model.requests().length;
  await telegram.confirmed(await telegram.say(inGroup("good morning everybody")));
  await telegram.confirmed(await telegram.say(inGroup(`@${botUsername} and me?`, bob)));
  await telegram.confirmed(await telegram.say({ ...inGroup(`@${botUsername} here?`), chatId: group - 1 }));
  expect(await telegram.sent()).toHaveLength(before);
  expect(model.requests()).toHaveLength(requests);

  await telegram.say(inGroup(`@${botUsername} good morning`));
  await expect.poll(telegram.sent, poll).toHaveLength(before + 1);
  const answer = (await telegram.calls("sendMessage")).at(-1);
  expect(answer).toMatchObject({ chat_id: String(group) });
  expect(answer?.["text"]).toContain("good morning");
});

test("answers of one chat keep their order when Telegram is slow to take the first", async () => {
  const before = (await telegram.sent()).length;
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  using _tap = telegram.tap(({ method, stage, body }) =>
    method === "sendMessage" && stage === "asked" && String(body["text"]).includes("the slow one")
      ? held
      : undefined,
  );
  await telegram.say({ ...ada, text: "the slow one" });
  await telegram.say({ ...ada, text: "the quick one" });
  await client.find(
    ({ event, payload }) =>
      event === "chat" &&
      payload.state === "final" &&
      JSON.stringify(payload.message).includes("the quick one"),
  );
  // Somebody else's whole conversation goes on meanwhile; by its end the quick answer had its chance.
  await telegram.say(inGroup(`@${botUsername} does it rain?`));
  await expect.poll(telegram.sent, poll).toContainEqual(expect.stringContaining("does it rain?"));
  release();
  await expect.poll(telegram.sent, poll).toHaveLength(before + 3);
  const texts = (await telegram.sent()).filter((text) => text.includes(" one"));
  expect(texts).toEqual(["You said: the slow one", "You said: the quick one"]);
});

test("REL-19: an update that comes again, also after a restart, is answered once", async () => {
  const before = (await telegram.sent()).length;
  const update = await telegram.say({ ...ada, text: "count me once" });
  await expect.poll(telegram.sent, poll).toHaveLength(before + 1);
  for (let i = 0; i < 3; i++) await telegram.redeliver(update);
  expect(await product.stop()).toBe(0);
  await start();
  for (let i = 0; i < 3; i++) await telegram.redeliver(update, update);

  // A session's runs come one after the other, so a second answer would be there before this one.
  await telegram.say({ ...ada, text: "and now something else" });
  await expect.poll(telegram.sent, poll).toHaveLength(before + 2);
  const texts = (await telegram.sent()).slice(before);
  expect(texts).toEqual([
    expect.stringContaining("You said: count me once"),
    expect.stringContaining("You said: and now something else"),
  ]);
  expect(model.requests().filter((request) => lastWords(request) === "count me once")).toHaveLength(1);
  const { sessions } = await ask(client, "sessions.list");
  const direct = sessions.find(({ key }: { key: string }) => key.includes("direct"));
  const { messages } = await ask(client, "chat.history", { sessionKey: direct.key });
  const asked = messages.filter(
    ({ role, content }: { role: string; content: unknown }) =>
      role === "user" && JSON.stringify(content).includes("count me once"),
  );
  expect(asked).toHaveLength(1);
});

test("SEC-074: people who share one session each get their own answer", async () => {
  await ask(client, "config.patch", {
    raw: JSON.stringify({
      session: { dmScope: "main" },
      channels: { telegram: { allowFrom: [bob.fromId] } },
    }),
    baseHash: (await ask(client, "config.get")).hash,
  });
  await expect
    .poll(async () => (await ask(client, "channels.status")).channelAccounts.telegram?.[0]?.connected, poll)
    .toBe(true);
  const before = (await telegram.sent()).length;
  const people = [ada, bob, bob, ada, bob, ada];
  await Promise.all(
    people.map((person, i) => telegram.say({ ...person, text: `word ${i} of ${person.fromName}` })),
  );
  await expect.poll(telegram.sent, poll).toHaveLength(before + people.length);
  const answers = (await telegram.calls("sendMessage")).slice(before);
  for (const { chat_id: chat, text } of answers) {
    expect(text).toContain(chat === String(ada.chatId) ? "of Ada" : "of Bob");
  }
  expect(new Set(answers.map(({ text }) => text)).size).toBe(people.length);
});

test("SEC-196: neither the bot's token nor the model's key was written down anywhere", async () => {
  expect(await product.stop()).toBe(0);
  expect(await state.filesWith(telegram.token)).toEqual([]);
  expect(await state.filesWith(anthropicKey)).toEqual([]);
  expect(product.stderr()).toBe("");
});

test("a token in the environment is enough to start the channel", async () => {
  await using alone = await tempState();
  // One that is no token, so that nobody is asked about it.
  await using bare = await startProduct({ stateDir: alone.dir, env: { TELEGRAM_BOT_TOKEN: "no-token" } });
  const { channelAccounts } = await ask(await bare.connect(), "channels.status");
  expect(channelAccounts.telegram).toMatchObject([
    { accountId: "default", configured: true, lastError: expect.stringContaining("does not look like one") },
  ]);
});
