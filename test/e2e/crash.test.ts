import { readFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { lastWords, type ModelPeer, startModelPeer } from "../support/aimock.ts";
import { type Call, startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";
import {
  ask,
  processesWith,
  type Product,
  startProduct,
  type TempState,
  tempState,
} from "../support/product.ts";
import { hasSandbox } from "../support/sandbox.ts";
import type { Client, Frame } from "../support/ws-client.ts";

/** One message and the moment of its life at which the gateway is killed. */
interface Round {
  readonly moment: string;
  readonly usesTool?: boolean;
  /** Through the protocol rather than through Telegram. */
  readonly byClient?: boolean;
  /** Its message is not sent: an earlier one is being taken up again. */
  readonly silent?: boolean;
  /** The answer had left, as far as the gateway could know. */
  readonly mayBeLost?: boolean;
  reached(at: Place): Promise<unknown>;
}

interface Place {
  readonly number: number;
  readonly client: Client;
}

const poll = { timeout: 30_000, interval: 50 };
/** Found again among the machine's processes. */
const longSleep = (number: number): string => `sleep 86400.${process.pid}${number}`;
const chatOf = (number: number): number => 70_000 + number;
const words = "oxide blooms on the old iron gate and nobody counts the petals when it rains at night";

let state: TempState;
let telegram: TelegramPeer;
let model: ModelPeer;
let env: NodeJS.ProcessEnv;
const asked: { number: number; afterTool: boolean }[] = [];
const watchers = new Set<() => void>();

beforeAll(async () => {
  state = await tempState();
  telegram = await startTelegramPeer();
  model = await startModelPeer();
  env = model.anthropic().env;
  const numberOf = (text: string): number => Number(/round (\d+)/.exec(text)?.[1]);
  const slow = { chunkSize: 8, streamingProfile: { ttft: 20, tps: 40 } };
  model.mock.on({ userMessage: "with a tool", hasToolResult: false }, (request) => {
    const number = numberOf(lastWords(request));
    const rest = rounds[number]?.moment === "a tool runs" ? longSleep(number) : "true";
    const command = `echo ${number} >> ran.txt; ${rest}`;
    return { toolCalls: [{ name: "exec", arguments: JSON.stringify({ command }) }] };
  });
  model.mock.on(
    { userMessage: "round" },
    (request) => {
      const number = numberOf(lastWords(request));
      asked.push({ number, afterTool: request.messages.at(-1)?.role === "tool" });
      for (const look of watchers) look();
      return { content: `answer ${number}: ${words}` };
    },
    slow,
  );
});

/** Resolves when the model is asked about this round from now on. */
function modelAsked(wanted: number, { afterTool = false } = {}): Promise<void> {
  const from = asked.length;
  return new Promise((resolve) => {
    const look = (): void => {
      if (
        !asked.slice(from).some(({ number, afterTool: after }) => number === wanted && (after || !afterTool))
      )
        return;
      watchers.delete(look);
      resolve();
    };
    watchers.add(look);
  });
}

/** Resolves at the first call that fits, and holds it for ever: the gateway dies meanwhile. */
function wire(fits: (call: Call) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const tap = telegram.tap((call) => {
      if (!fits(call)) return undefined;
      tap[Symbol.dispose]();
      resolve();
      return new Promise(() => undefined);
    });
  });
}

const brings =
  (number: number) =>
  ({ method, stage, answer }: Call) =>
    method === "getUpdates" && stage === "done" && String(answer).includes(`round ${number}`);
const sends =
  (number: number, wanted: Call["stage"]) =>
  ({ method, stage, body }: Call) =>
    method === "sendMessage" && stage === wanted && String(body["text"]).includes(`answer ${number}:`);

/** Resolves once the model's words have come in so many pieces. */
function pieces(count: number, { number, client }: Place): Promise<Frame> {
  let seen = 0;
  const counted = new WeakSet<Frame>();
  return client.find((frame) => {
    if (counted.has(frame)) return false;
    counted.add(frame);
    const { event, payload } = frame;
    const isPiece =
      event === "agent" &&
      payload.stream === "assistant" &&
      String(payload.data.text).includes(`answer ${number}`);
    return isPiece && ++seen === count;
  });
}

const ranFile = (): Promise<string> =>
  readFile(path.join(state.dir, "workspace/ran.txt"), "utf8").catch(() => "");
const ran = async (number: number): Promise<number> =>
  (await ranFile()).split("\n").filter((line) => line === String(number)).length;

const all: readonly Round[] = [
  { moment: "its update is on the wire", reached: ({ number }) => wire(brings(number)) },
  {
    moment: "its update is confirmed",
    async reached({ number }) {
      let fetched = false;
      await wire((call) => {
        const next = fetched && call.method === "getUpdates" && call.stage === "asked";
        fetched ||= brings(number)(call);
        return next;
      });
    },
  },
  { moment: "the model is asked", reached: ({ number }) => modelAsked(number) },
  ...[1, 2, 4, 7].map((count): Round => ({
    moment: `the model has said ${count} pieces`,
    reached: (at) => pieces(count, at),
  })),
  {
    moment: "a tool runs",
    usesTool: true,
    reached: ({ number }) => expect.poll(() => ran(number), poll).toBe(1),
  },
  {
    moment: "a tool has answered",
    usesTool: true,
    reached: ({ number }) => modelAsked(number, { afterTool: true }),
  },
  { moment: "the model speaks after a tool", usesTool: true, reached: (at) => pieces(3, at) },
  {
    moment: "nothing new happens but recovery",
    silent: true,
    reached: ({ number }) => modelAsked(number - 1),
  },
  {
    moment: "its answer is about to be sent",
    mayBeLost: true,
    reached: ({ number }) => wire(sends(number, "asked")),
  },
  { moment: "its answer was sent", reached: ({ number }) => wire(sends(number, "done")) },
  {
    moment: "its answer has arrived",
    reached: ({ number }) =>
      expect.poll(telegram.sent, poll).toContainEqual(expect.stringContaining(`answer ${number}:`)),
  },
  { moment: "it is acknowledged to a client", byClient: true, reached: () => Promise.resolve() },
  { moment: "a client has seen one piece", byClient: true, reached: (at) => pieces(1, at) },
  { moment: "a client has seen five pieces", byClient: true, reached: (at) => pieces(5, at) },
  { moment: "everything is taken up again", silent: true, reached: ({ number }) => modelAsked(number - 1) },
];
const rounds = all.filter(({ usesTool }) => hasSandbox || !usesTool);

const start = (config?: object): Promise<Product> =>
  startProduct({ stateDir: state.dir, env, ...(config && { config }) });
const sessionOf = (number: number): string =>
  rounds[number]?.byClient ? `agent:main:client-${number}` : `agent:main:telegram:direct:${chatOf(number)}`;

async function speak(number: number, client: Client): Promise<void> {
  const { usesTool, byClient, silent } = rounds[number] ?? {};
  const text = `round ${number}${usesTool ? " with a tool" : ""}`;
  if (silent) return;
  if (byClient) {
    const idempotencyKey = `round-${number}`;
    await ask(client, "chat.send", { sessionKey: sessionOf(number), message: text, idempotencyKey });
  } else await telegram.say({ chatId: chatOf(number), fromId: chatOf(number), text });
}

async function arrived(number: number): Promise<void> {
  const { byClient, silent, mayBeLost, moment = "" } = rounds[number] ?? {};
  if (byClient || silent || mayBeLost) return;
  await expect
    .poll(telegram.sent, { ...poll, message: moment })
    .toContainEqual(expect.stringContaining(`answer ${number}:`));
}

interface Line {
  readonly role: string;
  readonly content:
    | readonly { readonly type: string; readonly id?: string; readonly text?: string }[]
    | string;
  readonly toolCallId?: string;
}

async function within(reached: Promise<unknown>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come`)), 20_000);
  });
  await Promise.race([reached, late]).finally(() => clearTimeout(timer));
}

test("killed at any moment, the gateway forgets nothing it took and answers nothing twice", async () => {
  const config = {
    ...model.anthropic().config,
    channels: {
      telegram: {
        botToken: telegram.token,
        apiRoot: telegram.apiRoot,
        allowFrom: rounds.map((_round, number) => chatOf(number)),
      },
    },
  };
  for (const [number, round] of rounds.entries()) {
    await using product = await start(number === 0 ? config : undefined);
    const client = await product.connect();
    // An answer that was just leaving at a kill may be lost, so the earlier ones get their time.
    if (!round.silent)
      await Promise.all([...rounds.keys()].slice(0, number).map((earlier) => arrived(earlier)));
    const reached = round.reached({ number, client });
    reached.catch(() => undefined);
    await speak(number, client);
    await within(reached, `the moment when ${round.moment}`);
    await product.kill();
  }
  expect(rounds.length).toBeGreaterThanOrEqual(15);

  await using product = await start();
  const client = await product.connect();
  const talked = [...rounds.keys()].filter((number) => !rounds[number]?.silent);
  const history = async (number: number): Promise<readonly Line[]> =>
    (await ask(client, "chat.history", { sessionKey: sessionOf(number) })).messages;
  const count = (lines: readonly Line[], role: string, text: string): number =>
    lines.filter((line) => line.role === role && JSON.stringify(line.content).includes(text)).length;
  for (const number of talked) {
    await expect
      .poll(async () => count(await history(number), "assistant", `answer ${number}: ${words}`), {
        ...poll,
        message: rounds[number]?.moment ?? "",
      })
      .toBe(1);
  }
  for (const number of talked) await arrived(number);

  for (const number of talked) {
    const { moment, usesTool, byClient } = rounds[number] ?? {};
    const lines = await history(number);
    expect(count(lines, "user", `round ${number}`), `user lines when ${moment}`).toBe(1);
    const sent = (await telegram.sent()).filter((text) => text.includes(`answer ${number}:`));
    expect(sent.length, `answers when ${moment}`).toBeLessThanOrEqual(byClient ? 0 : 1);
    const calls = lines.flatMap(({ content }) =>
      typeof content === "string" ? [] : content.filter(({ type }) => type === "toolCall"),
    );
    const results = lines.filter(({ role }) => role === "toolResult").map(({ toolCallId }) => toolCallId);
    expect(results, `tool results when ${moment}`).toEqual(calls.map(({ id }) => id));
    if (usesTool) expect(await ran(number), `runs of the tool when ${moment}`).toBe(1);
  }
  const unfinished = rounds.findIndex(({ moment }) => moment === "a tool runs");
  if (unfinished >= 0) {
    expect(JSON.stringify(await history(unfinished))).toMatch(/interrupted/i);
    expect(await processesWith(longSleep(unfinished).slice(6))).toEqual([]);
  }

  // Nothing is left to be taken up: a further restart asks the model nothing.
  expect(await product.stop()).toBe(0);
  const before = model.requests().length;
  const sent = (await telegram.sent()).length;
  await using again = await start();
  await telegram.say({ chatId: chatOf(0), fromId: chatOf(0), text: "round 0 once more" });
  await expect.poll(async () => (await telegram.sent()).length, poll).toBe(sent + 1);
  expect(model.requests().length).toBe(before + 1);
  expect(await again.stop()).toBe(0);
}, 180_000);

test("messages that wait behind a running answer survive as well, and keep their order", async () => {
  const chat = { chatId: 80_001, fromId: 80_001 };
  const texts = ["first", "second", "third", "fourth"].map((word) => `${word} in line`);
  let held = -1;
  let release: () => void = () => undefined;
  let reached: () => void = () => undefined;
  model.mock.on({ userMessage: "in line" }, async (request) => {
    const text = lastWords(request);
    if (texts.indexOf(text) === held) {
      reached();
      await new Promise<void>((resolve) => (release = resolve));
    }
    return { content: `answer to ${text}` };
  });
  await using lined = await tempState();
  const config = {
    ...model.anthropic().config,
    channels: { telegram: { botToken: telegram.token, apiRoot: telegram.apiRoot, allowFrom: [chat.fromId] } },
  };
  const before = (await telegram.sent()).length;
  for (const text of texts) await telegram.say({ ...chat, text });
  for (const turn of [0, 2, 3]) {
    held = turn;
    const here = new Promise<void>((resolve) => (reached = resolve));
    await using product = await startProduct({ stateDir: lined.dir, env, ...(turn === 0 && { config }) });
    await within(here, `the model being asked for ${texts[turn]}`);
    // The answers before it leave on their own; one that was just leaving might be lost.
    await expect.poll(async () => (await telegram.sent()).length - before, poll).toBe(turn);
    await product.kill();
    release();
  }
  held = -1;
  await using product = await startProduct({ stateDir: lined.dir, env });
  await expect
    .poll(async () => (await telegram.sent()).slice(before), poll)
    .toEqual(texts.map((text) => `answer to ${text}`));
  expect(await product.stop()).toBe(0);
});
