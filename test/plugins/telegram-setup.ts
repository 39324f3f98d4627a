import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Channel,
  type InboundMessage,
  type Manifest,
  type OutboundMessage,
  type Route,
} from "@rclaw/plugin-sdk";
import { createTestContext, type TestContext } from "@rclaw/plugin-sdk/testing";
import json5 from "json5";
import { afterAll, afterEach, beforeAll } from "vitest";
import { createEgress } from "../../plugins/services/egress/egress.ts";
import { silent } from "../../kernel/log.ts";
import type { TelegramConfig } from "../../plugins/channels/telegram/config.ts";
import { telegram } from "../../plugins/channels/telegram/index.ts";
import { startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";

export const timing = { pollSeconds: 1, stallMs: 400, minPauseMs: 5, maxPauseMs: 40, albumMs: 5 };
export const egress = createEgress({ log: silent });
export const closers: (() => unknown)[] = [];
/** Set before the first test of a file. */
export let manifest: Manifest;
beforeAll(async () => {
  manifest = json5.parse(await readFile("manifests/channels/telegram.json5", "utf8"));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => egress.close());

export interface Running {
  readonly peer: TelegramPeer;
  readonly channel: Channel;
  readonly route: Route;
  readonly context: TestContext<TelegramConfig>;
  readonly received: InboundMessage[];
  start(receive?: (message: InboundMessage) => Promise<void>): Promise<void>;
  stop(): Promise<void>;
  send(message: Partial<OutboundMessage>): Promise<{ id: string }>;
  status(probe?: boolean): ReturnType<Channel["accounts"]>;
}

export const never: AbortSignal = new AbortController().signal;

export async function setUp(
  peer: TelegramPeer | { apiRoot: string; token: string },
  config: Partial<TelegramConfig> = {},
  env: Record<string, string> = {},
  now?: () => number,
): Promise<Running> {
  const context = createTestContext<TelegramConfig>({
    id: "telegram",
    manifest,
    env,
    secrets: { "telegram.default": peer.token },
    config: { apiRoot: peer.apiRoot, botToken: peer.token, ...config },
    fetch: egress.fetchFor([new URL(peer.apiRoot).host], "telegram"),
  });
  await context.activate(telegram(timing, now));
  const channel = context.contributions.channels.get("telegram")!;
  const route = context.contributions.routes.get("POST /telegram-webhook")!;
  const received: InboundMessage[] = [];
  let life = new AbortController();
  closers.push(
    () => life.abort(),
    () => context[Symbol.asyncDispose](),
  );
  return {
    peer: peer as TelegramPeer,
    channel,
    route,
    context,
    received,
    async start(receive = async (message) => void received.push(message)) {
      life = new AbortController();
      await channel.start(receive, life.signal);
    },
    async stop() {
      life.abort();
    },
    send: (message) => channel.send({ accountId: "default", to: "42", text: "hi", ...message }, never),
    status: (probe = false) => channel.accounts({ probe, signal: never }),
  };
}

export async function withPeer(config: Partial<TelegramConfig> = {}): Promise<Running> {
  const peer = await startTelegramPeer();
  closers.push(() => peer[Symbol.asyncDispose]());
  return setUp(peer, config);
}

/** A Bot API of our own, for the faults that crabline does not have. */
export async function fakeApi(
  answer: (
    method: string,
    body: Record<string, unknown>,
    count: number,
  ) => object | "reset" | "hang" | "junk",
): Promise<{ apiRoot: string; token: string; calls: [string, Record<string, unknown>][] }> {
  const calls: [string, Record<string, unknown>][] = [];
  const server = http.createServer((request, response) => {
    let text = "";
    request.on("data", (piece) => (text += String(piece)));
    request.on("end", () => {
      const method = request.url!.split("/").at(-1)!;
      const body = JSON.parse(text || "{}") as Record<string, unknown>;
      calls.push([method, body]);
      const count = calls.filter(([name]) => name === method).length;
      const given = answer(method, body, count);
      if (given === "reset") request.socket.destroy();
      if (given === "junk") response.end("<html>");
      if (typeof given === "string") return;
      const { status = 200, html, ...rest }: { status?: number; html?: string } = given;
      if (html !== undefined) {
        response.writeHead(status, { "content-type": "text/html" }).end(html);
        return;
      }
      response.writeHead(status, { "content-type": "application/json" });
      response.end(
        JSON.stringify(status === 200 ? { ok: true, ...rest } : { ok: false, error_code: status, ...rest }),
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return {
    apiRoot: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: "123456:fake-token_AbCdEf",
    calls,
  };
}
export const meResult = { result: { id: 123456, is_bot: true, first_name: "Fake", username: "fake_bot" } };
export const quiet = (method: string): object | "hang" =>
  method === "getMe" ? meResult : method === "getUpdates" ? "hang" : { result: true };
export const textUpdate = (id: number, text: string, chat = 42): object => ({
  update_id: id,
  message: {
    message_id: id,
    date: 1,
    text,
    from: { id: chat, is_bot: false, first_name: "A" },
    chat: { id: chat, type: "private", first_name: "A" },
  },
});
