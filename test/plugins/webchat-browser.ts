import type { BrowserContext, Page } from "playwright-core";
import { afterEach, beforeAll, test } from "vitest";
import { hasBrowser, startBrowser } from "../support/browser.ts";
import { type Peer, type PeerOptions, startPeer } from "./webchat-peer.ts";

export const browserTest: ReturnType<typeof test.skipIf> = test.skipIf(!hasBrowser);

/** The browser of a file, and the peer of a test in it. */
export let browser: { readonly context: BrowserContext };
export let peer: Peer;

beforeAll(async () => {
  if (hasBrowser) browser = await startBrowser({ viewport: { width: 1100, height: 800 } });
});
afterEach(async () => {
  if (!hasBrowser) return;
  for (const page of browser.context.pages().slice(1)) await page.close();
  await peer?.stop();
});

export async function openPeer(messages: readonly object[] = [], options: PeerOptions = {}): Promise<Peer> {
  peer = await startPeer(options);
  ordinary(peer, messages);
  return peer;
}

/** What a peer answers when the test does not care. */
function ordinary(peer: Peer, messages: readonly object[] = []): void {
  peer.answers.set("models.default", () => ({ provider: "offline", model: "demo", reason: "no key is set" }));
  peer.answers.set("sessions.list", () => ({ sessions: [{ key: "agent:main:main" }] }));
  peer.answers.set("chat.history", () => ({ sessionKey: "agent:main:main", messages }));
  peer.answers.set("chat.send", ({ idempotencyKey }) => ({ runId: idempotencyKey, status: "started" }));
}

/** A history with a tool call, as a gateway gave it. */
export const recorded = [
  {
    role: "user",
    content: [{ type: "text", text: "[Sun 2026-11-22 10:57 UTC] please use tool now" }],
    timestamp: 1795345063417,
  },
  {
    role: "assistant",
    content: [{ type: "toolCall", id: "call_1", name: "session_status", arguments: {} }],
    stopReason: "toolUse",
  },
  {
    role: "toolResult",
    toolCallId: "call_1",
    toolName: "session_status",
    content: [{ type: "text", text: "Model: mock-1" }],
    isError: false,
  },
  {
    role: "assistant",
    content: [{ type: "text", text: "Hello from the mock provider." }],
    stopReason: "stop",
  },
];

/** A page that has connected and shows its session. */
export async function openChat(hash = "#token=right-token"): Promise<Page> {
  const page = await browser.context.newPage();
  await page.goto(`${peer.origin}/${hash}`);
  await page.locator('body[data-state="ready"]').waitFor();
  await page.locator("#model:not(:empty)").waitFor();
  return page;
}

export interface RunEvents {
  readonly runId: string;
  /** `replace` says that the text starts anew. */
  delta(text: string, replace?: boolean): void;
  tool(data: object, ts?: number): void;
  end(state: "final" | "aborted" | "error", fields: object): void;
}

const said = (text: string): object => ({
  role: "assistant",
  content: [{ type: "text", text }],
  timestamp: 1,
});

/** Types a message and speaks for the run that it starts. */
export async function say(page: Page, text: string): Promise<RunEvents> {
  await page.locator("#input").fill(text);
  await page.keyboard.press("Enter");
  return eventsOf(peer, String((await peer.next("chat.send"))["idempotencyKey"]));
}

export function eventsOf(peer: Peer, runId: string): RunEvents {
  const base = { runId, sessionKey: "agent:main:main", seq: 1 };
  return {
    runId,
    delta: (text, replace = false) =>
      peer.event("chat", {
        ...base,
        state: "delta",
        message: said(text),
        deltaText: text,
        ...(replace && { replace }),
      }),
    tool: (data, ts = 1) => peer.event("agent", { ...base, stream: "tool", ts, data }),
    end(state, { text, ...fields }: { text?: string }) {
      peer.event("agent", { ...base, stream: "lifecycle", ts: 1, data: { phase: "end" } });
      peer.event("chat", { ...base, state, ...fields, ...(text !== undefined && { message: said(text) }) });
    },
  };
}
