import { expect } from "vitest";
import { browserTest, eventsOf, openChat, openPeer, peer, recorded, say } from "./webchat-browser.ts";

browserTest(
  "a lost connection is said, and what became of a message is asked for under its own id",
  async () => {
    await openPeer();
    const page = await openChat();
    const run = await say(page, "remember me");
    run.delta("I be");
    peer.answers.set("chat.send", ({ idempotencyKey }) => ({ runId: idempotencyKey, status: "ok" }));
    peer.answers.set("chat.history", () => ({
      messages: [
        { role: "user", content: "remember me" },
        { role: "assistant", content: [{ type: "text", text: "I began and ended." }] },
      ],
    }));
    peer.dropAll();
    await page.getByText("The connection to the gateway is lost.").waitFor();
    expect(await peer.next("chat.send")).toMatchObject({ idempotencyKey: run.runId, message: "remember me" });
    await page.locator(".assistant", { hasText: "I began and ended." }).waitFor();
    await page.locator("#notice").waitFor({ state: "hidden" });
    expect(await page.locator(".turn").count()).toBe(2);
  },
);

browserTest(
  "a reload in the middle of an answer shows the call that runs, and can still stop it",
  async () => {
    await openPeer();
    const page = await openChat();
    const run = await say(page, "look");
    run.delta("I look first.");
    run.tool({ phase: "start", name: "exec", toolCallId: "t1", args: { command: "sleep 60" } });
    await page.locator(".tool").waitFor();
    peer.answers.set("chat.send", ({ idempotencyKey }) => ({ runId: idempotencyKey, status: "in_flight" }));
    peer.answers.set("chat.history", () => ({
      messages: [
        { role: "user", content: "look" },
        {
          role: "assistant",
          content: [
            { type: "text", text: "I look first." },
            { type: "toolCall", id: "t1", name: "exec", arguments: { command: "sleep 60" } },
          ],
          stopReason: "toolUse",
        },
      ],
    }));
    await page.reload();
    expect(await peer.next("chat.send")).toMatchObject({ idempotencyKey: run.runId, message: "look" });
    await page.locator('.tool[data-state="running"]', { hasText: "sleep 60" }).waitFor();
    expect(await page.locator(".answer").textContent()).toContain("I look first.");
    expect(await page.locator(".turn").count()).toBe(2);
    await page.keyboard.press("Escape");
    expect(await peer.next("chat.abort")).toMatchObject({ runId: run.runId });
  },
);

browserTest("a reload loses neither what waits to be sent nor what is half written", async () => {
  await openPeer();
  const page = await openChat();
  const first = await say(page, "one");
  await page.locator("#input").fill("two");
  await page.keyboard.press("Enter");
  await page.locator(".user[data-waiting]", { hasText: "two" }).waitFor();
  await page.locator("#input").fill("thr");
  await page.reload();
  expect(await peer.next("chat.send")).toMatchObject({ idempotencyKey: first.runId });
  await page.locator(".user[data-waiting]", { hasText: "two" }).waitFor();
  expect(await page.locator("#input").inputValue()).toBe("thr");
  first.end("final", { text: "ok" });
  expect((await peer.next("chat.send"))["message"]).toBe("two");
});

browserTest("an answer that somebody else stopped stays until the history has it", async () => {
  await openPeer();
  const page = await openChat();
  let written = (): void => undefined;
  const end = new Promise<void>((resolve) => (written = resolve));
  peer.answers.set("agent.wait", async () => {
    await end;
    return { status: "error" };
  });
  const run = eventsOf(peer, "other-tab");
  run.delta("One, tw");
  run.end("aborted", { text: "One, two", stopReason: "rpc" });
  expect(await peer.next("agent.wait")).toMatchObject({ runId: "other-tab" });
  expect(await page.locator(".assistant").textContent()).toContain("One, twoStopped.");
  peer.answers.set("chat.history", () => ({
    messages: [
      { role: "user", content: "count" },
      { role: "assistant", content: [{ type: "text", text: "One, two" }], stopReason: "aborted" },
    ],
  }));
  written();
  await page.locator(".user", { hasText: "count" }).waitFor();
  expect(await page.locator(".assistant").textContent()).toContain("One, twoStopped.");
});

browserTest("an answer under way when the page opens goes on where it stands in the history", async () => {
  await openPeer(recorded.slice(0, 2));
  const page = await openChat();
  await page.locator('.tool[data-state="unknown"]').waitFor();
  const run = eventsOf(peer, "telegram:1");
  run.tool({ phase: "result", name: "session_status", toolCallId: "call_1", result: "Model: mock-1" });
  await page.locator('.tool[data-state="ok"]').waitFor();
  run.delta("Hello fr");
  await page.locator(".answer", { hasText: "Hello fr" }).waitFor();
  expect(await page.locator(".turn").count()).toBe(2);
});

browserTest("the same words before two calls are both shown", async () => {
  await openPeer();
  const page = await openChat();
  const run = await say(page, "look twice");
  for (const id of ["t1", "t2"]) {
    run.delta("Let me look.", id === "t2");
    run.tool({ phase: "start", name: "read", toolCallId: id, args: { path: id } });
    run.tool({ phase: "result", name: "read", toolCallId: id, result: "x" });
  }
  await page.locator(".tool").nth(1).waitFor();
  expect(await page.locator(".answer .text").allTextContents()).toEqual(["Let me look.", "Let me look."]);
});

browserTest("a long history starts with its end, and more of it is a click away", async () => {
  const long = Array.from({ length: 1200 }, (_none, at) => ({
    role: at % 2 === 0 ? "user" : "assistant",
    content: [{ type: "text", text: `message ${at}` }],
  }));
  await openPeer();
  peer.answers.set("chat.history", ({ limit }) => ({ messages: long.slice(-Number(limit)) }));
  const page = await openChat();
  await page.getByText("message 1199", { exact: true }).waitFor();
  expect(await page.locator(".turn").count()).toBe(200);
  const seen = page.getByText("message 1000", { exact: true });
  await seen.evaluate("(node) => node.scrollIntoView()");
  const before = await seen.boundingBox();
  // Not with the mouse, which would scroll to it.
  await page.getByRole("button", { name: "Show earlier messages" }).dispatchEvent("click");
  await page.getByText("message 200", { exact: true }).waitFor({ state: "attached" });
  await page.getByText("Earlier messages are in the transcript.").waitFor({ state: "attached" });
  expect(Math.abs(((await seen.boundingBox())?.y ?? 0) - (before?.y ?? 0))).toBeLessThan(60);
});

browserTest("a gap in the numbers makes it read the history again", async () => {
  await openPeer();
  const page = await openChat();
  peer.event("tick", { ts: 1 }, 10);
  peer.answers.set("chat.history", () => ({ messages: recorded }));
  peer.event("tick", { ts: 2 }, 12);
  await page.locator(".assistant", { hasText: "Hello from the mock provider." }).waitFor();
});

browserTest("an answer to somebody else's message appears with its question", async () => {
  await openPeer();
  const page = await openChat();
  const run = eventsOf(peer, "telegram:1");
  run.delta("Hello fr");
  await page.locator(".assistant", { hasText: "Hello fr" }).waitFor();
  peer.answers.set("chat.history", () => ({ messages: recorded }));
  run.end("final", { text: "Hello from the mock provider." });
  await page.locator(".user", { hasText: "please use tool now" }).waitFor();
  expect(await page.locator(".assistant").count()).toBe(1);
});
