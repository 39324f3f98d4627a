import type { Channel, InboundMessage } from "@rclaw/plugin-sdk";
import { describe, expect, test, vi } from "vitest";
import type { MatrixConfig } from "../../plugins/channels/matrix/config.ts";
import { toInbound } from "../../plugins/channels/matrix/inbound.ts";
import { toHtml } from "../../plugins/channels/matrix/markup.ts";
import { split } from "@rclaw/plugin-sdk/split";
import { type ChatPeer, startChatPeer } from "../support/crabline-chat.ts";
import { serve } from "./egress-setup.ts";
import { closers } from "./lanes/setup.ts";
import { cages, type Cage, shipped } from "./lanes/shipped.ts";

const never = new AbortController().signal;
const ada = "@ada:matrix.test";

async function setUp(cage: Cage, peer: Pick<ChatPeer, "baseUrl" | "token">, config: MatrixConfig = {}) {
  const rclaw = await shipped<MatrixConfig>(cage, "channels/matrix", {
    config: { homeserver: peer.baseUrl, accessToken: "secret:matrix.default", ...config },
    secrets: { "matrix.default": peer.token },
  });
  const received: InboundMessage[] = [];
  let life = new AbortController();
  closers.push(() => life.abort());
  const channel = (): Channel => rclaw.contributions.channels.get("matrix") as Channel;
  return {
    rclaw,
    received,
    channel,
    async start(receive = async (message: InboundMessage) => void received.push(message)) {
      life = new AbortController();
      await channel().start(receive, life.signal);
    },
    stop: () => life.abort(),
    status: async (probe = false) => (await channel().accounts({ probe, signal: never }))[0],
  };
}

async function withPeer(cage: Cage) {
  const peer = await startChatPeer("matrix");
  closers.push(() => peer[Symbol.asyncDispose]());
  const bot = await setUp(cage, peer);
  /** Past the first answer, of which only the state counts. */
  const live = async (): Promise<void> => {
    await vi.waitFor(async () =>
      expect((await peer.calls()).filter(({ path }) => path.endsWith("/sync")).length).toBeGreaterThan(0),
    );
  };
  return { peer, bot, live };
}

describe.each(cages)("%s", (cage) => {
  test("it receives, shows typing and answers in the room", async () => {
    const { peer, bot, live } = await withPeer(cage);
    await bot.start();
    await live();
    const roomId = "!talk:matrix.test";
    await peer.say({ roomId, sender: ada, senderName: "Ada", text: "hello", direct: true });
    await vi.waitFor(() => expect(bot.received).toHaveLength(1));
    const [message] = bot.received;
    expect(message).toMatchObject({
      accountId: "default",
      chatType: "direct",
      peerId: roomId,
      sender: { id: ada, name: "Ada" },
      text: "hello",
    });
    const to = { accountId: "default", to: roomId };
    await bot.channel().typing?.(to, never);
    const { id } = await bot
      .channel()
      .send({ ...to, text: "**Hi** there", replyTo: message?.messageId ?? "" }, never);
    expect(id).toMatch(/^\$/);
    const calls = await peer.calls();
    expect(calls.find(({ path }) => path.includes("/typing/"))?.body).toMatchObject({ typing: true });
    expect(calls.find(({ path }) => path.includes("/send/m.room.message/"))?.body).toMatchObject({
      body: "**Hi** there",
      formatted_body: "<strong>Hi</strong> there",
      "m.relates_to": { "m.in_reply_to": { event_id: message?.messageId } },
    });
    expect(await bot.status(true)).toMatchObject({
      configured: true,
      running: true,
      connected: true,
      mode: "polling",
      probe: { ok: true, name: peer.botUserId },
    });
    bot.stop();
    await vi.waitFor(async () =>
      expect(await bot.status()).toMatchObject({ running: false, connected: false }),
    );
  });

  test("it tells rooms with and without a mention apart, and answers in threads", async () => {
    const { peer, bot, live } = await withPeer(cage);
    await bot.start();
    await live();
    const roomId = "!group:matrix.test";
    const first = (await peer.say({ roomId, roomName: "All", sender: ada, text: "just talk" }))["event"] as {
      event_id: string;
    };
    await peer.say({ roomId, sender: ada, text: "@openclaw: /status", threadId: first.event_id });
    await vi.waitFor(() => expect(bot.received).toHaveLength(2));
    expect(bot.received).toMatchObject([
      { chatType: "group", mentioned: false, peerName: "All" },
      { chatType: "group", mentioned: true, text: "/status", threadId: first.event_id },
    ]);
    await bot
      .channel()
      .send({ accountId: "default", to: roomId, text: "ok", threadId: first.event_id }, never);
    expect((await peer.calls()).findLast(({ path }) => path.includes("/send/"))?.body).toMatchObject({
      "m.relates_to": { rel_type: "m.thread", event_id: first.event_id, is_falling_back: true },
    });
  });

  test("a message that was not stored comes again after a restart, and one that was does not", async () => {
    const { peer, bot, live } = await withPeer(cage);
    let seen: string[] = [];
    await bot.start(async ({ text }) => {
      seen.push(text);
      await new Promise<void>(() => undefined);
    });
    await live();
    const roomId = "!talk:matrix.test";
    await peer.say({ roomId, sender: ada, text: "one" });
    await vi.waitFor(() => expect(seen).toEqual(["one"]));
    // Killed before the message was durable.
    bot.stop();
    await bot.rclaw.again();
    seen = [];
    await bot.start(async ({ text }) => void seen.push(text));
    await vi.waitFor(() => expect(seen).toEqual(["one"]));
    await vi.waitFor(() => expect(bot.rclaw.stored("since:default")).toBeDefined());
    const before = bot.rclaw.stored("since:default");
    await peer.say({ roomId, sender: ada, text: "two" });
    await vi.waitFor(() => expect(seen).toEqual(["one", "two"]));
    await vi.waitFor(() => expect(bot.rclaw.stored("since:default")).not.toEqual(before));
    bot.stop();
    await bot.rclaw.again();
    await peer.say({ roomId, sender: ada, text: "three" });
    await bot.start(async ({ text }) => void seen.push(text));
    await vi.waitFor(() => expect(seen).toContain("three"));
    expect(seen).toEqual(["one", "two", "three"]);
  });

  test("a refused token stops it at once with words that help; a server that is down is waited for", async () => {
    const { peer } = await withPeer(cage);
    const wrong = await setUp(cage, { ...peer, token: "syt_wrong_0123456789" });
    await expect(wrong.start()).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    expect(await wrong.status()).toMatchObject({ running: false });
    let isUp = false;
    const { url } = await serve((request, response) => {
      if (!isUp) return void response.writeHead(502).end();
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify(request.url?.includes("whoami") ? { user_id: "@bot:x" } : { next_batch: "s1" }),
      );
    });
    const bot = await setUp(cage, { baseUrl: url, token: "t-0123456789" });
    await bot.start();
    expect(await bot.status()).toMatchObject({ running: true, connected: false });
    isUp = true;
    await vi.waitFor(async () => expect(await bot.status()).toMatchObject({ connected: true }), 5_000);
    bot.stop();
  });
});

test("a message that fails is sent on from where it stopped, under the same transaction", async () => {
  const paths: string[] = [];
  const { url } = await serve((request, response) => {
    paths.push(request.url ?? "");
    response.setHeader("content-type", "application/json");
    response.writeHead(paths.length === 2 ? 503 : 200).end('{"event_id":"$x"}');
  });
  const bot = await setUp("wasm", { baseUrl: url, token: "t-0123456789" });
  const message = { accountId: "default", to: "!r:x", text: `${"a ".repeat(6_000)}\n\nend` };
  const send = () => bot.channel().send(message, never);
  await expect(send()).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
  expect(await send()).toEqual({ id: "$x" });
  expect(paths).toHaveLength(3);
  expect(paths[2]).toBe(paths[1]);
});

const me = { userId: "@bot:x", displayName: "Bot", wrote: (id: string) => id === "$mine" };
const where = {
  accountId: "default",
  roomId: "!r:x",
  isDirect: false,
  roomName: undefined,
  senderName: undefined,
};
const event = (content: object, more: object = {}) => ({
  event_id: "$1",
  type: "m.room.message",
  sender: "@ada:x",
  content: { msgtype: "m.text", body: "hi", ...content },
  ...more,
});

test.each([
  ["a notice of another bot", event({ msgtype: "m.notice" })],
  ["an edit", event({ "m.relates_to": { rel_type: "m.replace", event_id: "$0" } })],
  ["what it wrote itself", event({}, { sender: "@bot:x" })],
  ["nonsense", { content: { msgtype: 5 } }],
])("%s is none of its business", (_what, given) => {
  expect(toInbound(given, me, where)).toBeUndefined();
});

test.each([
  [event({ body: "Bot: hi" }), { mentioned: true, text: "hi" }],
  [event({ body: "robot, hi" }), { mentioned: false, text: "robot, hi" }],
  [event({ body: "x", "m.mentions": { user_ids: ["@bot:x"] } }), { mentioned: true }],
  [event({ body: "@bot x", "m.mentions": { user_ids: [] } }), { mentioned: false }],
  [
    event({ body: "> <@bot:x> old\n\nnew", "m.relates_to": { "m.in_reply_to": { event_id: "$mine" } } }),
    { mentioned: true, text: "new" },
  ],
  [event({ msgtype: "m.image", body: "cat.png" }), { text: "<media:image> cat.png" }],
])("%j is understood", (given, expected) => {
  expect(toInbound(given, me, where)).toMatchObject(expected);
});

test("Markdown becomes HTML, and nothing in it becomes markup by itself", () => {
  expect(toHtml("a <b> & **c** `d<e` [f](https://g.example/?a=1&b)")).toBe(
    'a &lt;b&gt; &amp; <strong>c</strong> <code>d&lt;e</code> <a href="https://g.example/?a=1&amp;b">f</a>',
  );
  expect(toHtml("```js\n1 < 2\n```")).toBe('<pre><code class="language-js">1 &lt; 2</code></pre>');
});

test("long texts are cut between words, and code that is cut stays code", () => {
  const code = `intro\n\n\`\`\`js\n${"line of code\n".repeat(30)}\`\`\`\n\noutro`;
  const parts = split(code, 120);
  expect(parts.every((part) => part.length <= 120)).toBe(true);
  expect(parts.every((part) => (part.match(/^```/gm) ?? []).length % 2 === 0)).toBe(true);
  expect(parts.join("").match(/line of code/g)).toHaveLength(30);
  expect(split("👋".repeat(100), 51).join("")).toBe("👋".repeat(100));
});
