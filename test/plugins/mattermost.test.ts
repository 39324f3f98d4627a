import { once } from "node:events";
import type { Channel, InboundMessage } from "@rclaw/plugin-sdk";
import { describe, expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import type { MattermostConfig } from "../../plugins/channels/mattermost/config.ts";
import { toInbound } from "../../plugins/channels/mattermost/inbound.ts";
import { type ChatPeer, startChatPeer } from "../support/crabline-chat.ts";
import { serve } from "./egress-setup.ts";
import { closers } from "./lanes/setup.ts";
import { cages, type Cage, shipped } from "./lanes/shipped.ts";

const never = new AbortController().signal;
const id = (letter: string): string => letter.repeat(26);

async function setUp(cage: Cage, peer: Pick<ChatPeer, "baseUrl" | "token">) {
  const rclaw = await shipped<MattermostConfig>(cage, "channels/mattermost", {
    config: { baseUrl: peer.baseUrl, botToken: "secret:mattermost.default" },
    secrets: { "mattermost.default": peer.token },
  });
  const received: InboundMessage[] = [];
  let life = new AbortController();
  closers.push(() => life.abort());
  const channel = (): Channel => rclaw.contributions.channels.get("mattermost") as Channel;
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
  const peer = await startChatPeer("mattermost");
  closers.push(() => peer[Symbol.asyncDispose]());
  return { peer, bot: await setUp(cage, peer) };
}

interface FakePost {
  readonly id: string;
  readonly message: string;
  readonly create_at: number;
}

/** A server of our own, for what crabline lacks: it forgets a client that left, and can be asked what it missed. */
async function forgetfulServer() {
  const posts: FakePost[] = [];
  const sockets = new WebSocketServer({ noServer: true });
  let connections = 0;
  const { url, server } = await serve((request, response) => {
    response.setHeader("content-type", "application/json");
    const path = (request.url ?? "").split("?")[0];
    const whole = (post: FakePost) => ({ ...post, channel_id: id("c"), user_id: id("u"), type: "" });
    const answers: Record<string, unknown> = {
      "/api/v4/users/me": { id: id("b"), username: "bot" },
      "/api/v4/users/me/channels": [{ id: id("c"), type: "D", last_post_at: Date.now() + 60_000 }],
      [`/api/v4/channels/${id("c")}/posts`]: {
        posts: Object.fromEntries(posts.map((post) => [post.id, whole(post)])),
      },
    };
    response.end(JSON.stringify(answers[path ?? ""] ?? {}));
  });
  server.on("upgrade", (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, (client) => {
      connections++;
      client.on("message", (data: Buffer) => {
        const { seq, action } = JSON.parse(data.toString("utf8")) as { seq: number; action: string };
        client.send(JSON.stringify({ status: "OK", seq_reply: seq }));
        if (action === "authentication_challenge") client.send(JSON.stringify({ event: "hello", data: {} }));
      });
    }),
  );
  closers.push(() => {
    for (const client of sockets.clients) client.terminate();
  });
  return {
    baseUrl: url,
    token: "token-0123456789",
    connections: () => connections,
    /** Said while nobody listens. */
    missed: (letter: string, message: string) =>
      void posts.push({ id: id(letter), message, create_at: Date.now() + posts.length }),
    post(letter: string, message: string) {
      const post = { id: id(letter), message, create_at: Date.now() + posts.length };
      posts.push(post);
      const whole = JSON.stringify({ ...post, channel_id: id("c"), user_id: id("u"), type: "" });
      for (const client of sockets.clients)
        client.send(JSON.stringify({ event: "posted", data: { post: whole, channel_type: "D" } }));
    },
    async cut() {
      const [client] = [...sockets.clients];
      client?.terminate();
      if (client) await once(client, "close");
    },
  };
}

describe.each(cages)("%s", (cage) => {
  test("it receives over its socket, shows typing and answers", async () => {
    const { peer, bot } = await withPeer(cage);
    await bot.start();
    await peer.say({ senderId: id("u"), senderName: "ada", text: "hello" });
    await vi.waitFor(() => expect(bot.received).toHaveLength(1), 5_000);
    const [message] = bot.received;
    expect(message).toMatchObject({
      accountId: "default",
      chatType: "direct",
      sender: { id: id("u"), name: "ada" },
      text: "hello",
    });
    const to = { accountId: "default", to: message?.peerId ?? "" };
    await bot.channel().typing?.(to, never);
    const sent = await bot.channel().send({ ...to, text: "**Hi** there" }, never);
    expect(sent.id).toMatch(/^[a-z0-9]{26}$/);
    const calls = await peer.calls();
    expect(calls.some(({ path }) => path.endsWith("/users/me/typing"))).toBe(true);
    expect(calls.find(({ path }) => path.endsWith("/posts"))?.body).toMatchObject({
      channel_id: to.to,
      message: "**Hi** there",
    });
    expect(await bot.status(true)).toMatchObject({
      running: true,
      connected: true,
      mode: "websocket",
      probe: { ok: true, name: "crabline_bot" },
    });
    bot.stop();
    await vi.waitFor(async () =>
      expect(await bot.status()).toMatchObject({ running: false, connected: false }),
    );
  });

  test("it tells channels with and without a mention apart, and answers in threads", async () => {
    const { peer, bot } = await withPeer(cage);
    await bot.start();
    const where = {
      channelId: id("k"),
      channelType: "O",
      channelDisplayName: "All",
      senderId: id("u"),
      senderName: "ada",
    };
    const { id: root } = (await peer.say({ ...where, text: "just talk" }))["post"] as { id: string };
    await peer.say({ ...where, text: "@crabline_bot /status", rootId: root, threadId: root });
    await vi.waitFor(() => expect(bot.received).toHaveLength(2), 5_000);
    expect(bot.received).toMatchObject([
      { chatType: "group", mentioned: false, peerName: "All" },
      { chatType: "group", mentioned: true, text: "/status", threadId: root },
    ]);
    await bot.channel().send({ accountId: "default", to: id("k"), text: "ok", threadId: root }, never);
    expect((await peer.calls()).findLast(({ path }) => path.endsWith("/posts"))?.body).toMatchObject({
      root_id: root,
    });
  });

  test("what was said while it was away, or was not stored, is taken afterwards, and nothing twice", async () => {
    const peer = await forgetfulServer();
    const bot = await setUp(cage, peer);
    let seen: string[] = [];
    await bot.start(async ({ text }) => void seen.push(text));
    await vi.waitFor(() => expect(bot.rclaw.stored(`seen:default:${id("b")}`)).toBeDefined(), 5_000);
    peer.post("1", "one");
    await vi.waitFor(() => expect(seen).toEqual(["one"]));
    // A cut connection: it comes back by itself.
    await peer.cut();
    peer.missed("2", "two");
    await vi.waitFor(() => expect(seen).toEqual(["one", "two"]), 5_000);
    expect(peer.connections()).toBe(2);
    bot.stop();
    // Killed before the message was durable, and then away.
    seen = [];
    await bot.start(async ({ text }) => {
      seen.push(text);
      await new Promise<void>(() => undefined);
    });
    await vi.waitFor(() => expect(peer.connections()).toBe(3), 5_000);
    peer.post("3", "three");
    await vi.waitFor(() => expect(seen).toEqual(["three"]), 5_000);
    bot.stop();
    await bot.rclaw.again();
    peer.missed("4", "four");
    seen = [];
    await bot.start(async ({ text }) => void seen.push(text));
    await vi.waitFor(() => expect(seen).toEqual(["three", "four"]), 5_000);
    bot.stop();
  });

  test("a refused token stops it at once with words that help", async () => {
    const { peer } = await withPeer(cage);
    const wrong = await setUp(cage, { ...peer, token: "wrong-token-0123456789" });
    await expect(wrong.start()).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    expect(await wrong.status(true)).toMatchObject({ running: false, probe: { ok: false } });
  });
});

const me = { id: id("b"), username: "bot" };
const place = { channelType: "O", channelName: "All", senderName: "@ada", mentions: [] };
const post = { id: id("p"), channel_id: id("c"), user_id: id("u"), message: "hi", type: "" };

test.each([
  ["what it wrote itself", { ...post, user_id: id("b") }],
  ["what the system says", { ...post, type: "system_join_channel" }],
  ["another bot", { ...post, props: { from_bot: "true" } }],
  ["a post that was deleted", { ...post, delete_at: 1 }],
  ["nonsense", {}],
])("%s is none of its business", (_what, given) => {
  expect(toInbound("default", given, me, place)).toBeUndefined();
});

test.each([
  ["@bot: hi", { mentioned: true, text: "hi", sender: { id: id("u"), name: "ada" } }],
  ["hi @BOT.", { mentioned: true }],
  ["@bot.two hi", { mentioned: false }],
  ["mail bot@bot.example", { mentioned: false }],
])("%s", (message, expected) => {
  expect(toInbound("default", { ...post, message }, me, place)).toMatchObject(expected);
});
