import { expect, test } from "vitest";
import {
  browser,
  browserTest,
  eventsOf,
  openChat,
  openPeer,
  peer,
  recorded,
  say,
} from "./webchat-browser.ts";
import { startPeer, webchatRoutes } from "./webchat-peer.ts";

const never = new AbortController().signal;
const asking = (path: string) => ({ method: "GET", path, query: {}, headers: {}, body: new Uint8Array() });

test("the page is served open, holds no secret, and forbids what it does not need", async () => {
  const page = (await webchatRoutes()).get("GET /");
  expect(page?.auth).toBe("open");
  const { status, headers, body } = (await page?.handle(asking("/"), never)) ?? {};
  expect(status).toBe(200);
  expect(headers?.["content-type"]).toBe("text/html; charset=utf-8");
  expect(headers?.["content-security-policy"]).toBe(
    "default-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  );
  expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" });
  expect(body).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=|\sstyle=/);
  expect(body).toContain('name="rclaw-version" content="0.1.0"');
});

test.each([
  "/webchat/",
  "/webchat/../index.ts",
  "/webchat/index.html",
  "/webchat/__proto__",
  "/webchat/page.css/x",
])("%s is not a file of the page", async (path) => {
  const parts = (await webchatRoutes()).get("GET /webchat/*");
  expect((await parts?.handle(asking(path), never))?.status).toBe(404);
});

browserTest("the page asks nobody else, and could not", async () => {
  await openPeer();
  const hosts = new Set<string>();
  const page = await browser.context.newPage();
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  await page.goto(`${peer.origin}/#token=right-token`);
  await page.locator("#model:not(:empty)").waitFor();
  expect([...hosts]).toEqual([peer.origin]);
  const reached = await page.evaluate(`new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective));
    new WebSocket("ws://127.0.0.1:1/").onopen = () => resolve("connected");
  })`);
  expect(reached).toBe("connect-src");
});

browserTest("it connects as a webchat client of protocol 3 to 4 that wants tool events", async () => {
  await openPeer();
  await openChat();
  expect(peer.requests[0]).toMatchObject({
    method: "connect",
    params: {
      minProtocol: 3,
      maxProtocol: 4,
      client: { id: "webchat", mode: "webchat", version: "0.1.0" },
      caps: ["tool-events"],
      role: "operator",
      scopes: ["operator.admin", "operator.read", "operator.write"],
      auth: { token: "right-token" },
    },
  });
});

browserTest("the token leaves the address at once and lasts as long as the tab", async () => {
  await openPeer();
  const page = await openChat("?token=x&y=1#token=right-token");
  expect(page.url()).toBe(`${peer.origin}/`);
  expect(await page.evaluate("sessionStorage.getItem('rclaw.token') + localStorage.length")).toBe(
    "right-token0",
  );
  await page.reload();
  await page.locator('body[data-state="ready"]').waitFor();
  const other = await browser.context.newPage();
  await other.goto(`${peer.origin}/`);
  await other.locator("#door").waitFor();
});

browserTest("without a token it asks for one, and says when it is wrong", async () => {
  await openPeer();
  const page = await browser.context.newPage();
  await page.goto(`${peer.origin}/`);
  await page.getByLabel("Gateway token or password").fill("wrong");
  expect(await page.locator("#refused").textContent()).toBe("");
  await page.keyboard.press("Enter");
  await page.getByText("This token is not the gateway's. Check it and try again.").waitFor();
  await page.keyboard.type("right-token");
  await page.keyboard.press("Enter");
  await page.locator("#welcome").waitFor();
  expect(await page.evaluate("document.activeElement.id")).toBe("input");
});

browserTest("no parameter makes it connect anywhere else", async () => {
  await openPeer();
  const evil = await startPeer({ token: "right-token" });
  try {
    const sockets: string[] = [];
    const page = await browser.context.newPage();
    page.on("websocket", (socket) => sockets.push(new URL(socket.url()).host));
    const target = encodeURIComponent(evil.origin.replace("http", "ws"));
    for (const address of [
      `?gatewayUrl=${target}#token=right-token`,
      `?token=right-token&gatewayUrl=${target}`,
      `#gatewayUrl=${target}&token=right-token`,
    ]) {
      await page.goto("about:blank");
      await page.goto(`${peer.origin}/${address}`);
      await page.locator("#model:not(:empty)").waitFor();
    }
    expect(new Set(sockets)).toEqual(new Set([new URL(peer.origin).host]));
    expect(evil.requests).toEqual([]);
  } finally {
    await evil.stop();
  }
});

browserTest("a newcomer is told what to type, and one click types it", async () => {
  await openPeer();
  const page = await openChat();
  expect(await page.locator("#why").textContent()).toBe("Answers come from offline/demo (no key is set).");
  await page.getByRole("button", { name: "List the files in the workspace" }).click();
  expect(await peer.next("chat.send")).toMatchObject({
    sessionKey: "agent:main:main",
    message: "List the files in the workspace",
  });
  await page.locator("#welcome").waitFor({ state: "hidden" });
});

browserTest("text streams in, tools are shown as they run, and the answer stays in order", async () => {
  await openPeer();
  const page = await openChat();
  const run = await say(page, "look");
  run.delta("I look");
  await page.locator(".answer p", { hasText: /^I look$/ }).waitFor();
  run.delta("I look first.");
  run.tool({ phase: "start", name: "exec", toolCallId: "t1", args: { command: "ls -la" } }, 1000);
  await page.locator('.tool[data-state="running"]', { hasText: "ls -la" }).waitFor();
  run.tool({ phase: "update", name: "exec", toolCallId: "t1", partialResult: "total 0" });
  await page.locator(".tool summary").click();
  await page.locator(".tool pre", { hasText: "total 0" }).waitFor();
  run.tool(
    {
      phase: "result",
      name: "exec",
      toolCallId: "t1",
      isError: false,
      result: { content: [{ type: "text", text: "a.txt" }] },
    },
    2500,
  );
  await page.locator('.tool[data-state="ok"]', { hasText: "1.5 s" }).waitFor();
  run.delta("There is **a.txt**");
  run.end("final", { text: "There is **a.txt**." });
  await page.locator("#stop").waitFor({ state: "hidden" });
  const parts = page.locator(".assistant .answer > *");
  expect(await parts.evaluateAll((nodes) => nodes.map((node) => node.className))).toEqual([
    "text",
    "tool",
    "text",
  ]);
  expect(await parts.nth(0).textContent()).toBe("I look first.");
  expect(await parts.nth(2).textContent()).toBe("There is a.txt.");
  expect(await page.locator("#spoken").textContent()).toContain("There is **a.txt**.");
});

browserTest("a text that goes on over a tool call is not shown twice", async () => {
  await openPeer();
  const page = await openChat();
  const run = await say(page, "look");
  run.delta("First.");
  run.tool({ phase: "start", name: "read", toolCallId: "t1", args: { path: "a" } });
  run.tool({ phase: "result", name: "read", toolCallId: "t1", result: "x" });
  run.end("final", { text: "First.\n\nSecond." });
  await page.locator(".answer", { hasText: "Second." }).waitFor();
  expect(await page.locator(".answer .text").allTextContents()).toEqual(["First.", "Second."]);
});

browserTest("results that are not sent live come from the history", async () => {
  await openPeer();
  const page = await openChat();
  const run = await say(page, "look");
  run.tool({ phase: "start", name: "read", toolCallId: "t1", args: { path: "a" } });
  run.tool({ phase: "result", name: "read", toolCallId: "t1", isError: true });
  const result = {
    role: "toolResult",
    toolCallId: "t1",
    toolName: "read",
    content: [{ type: "text", text: "no such file" }],
    isError: true,
  };
  peer.answers.set("chat.history", () => ({ messages: [{ role: "user", content: "look" }, result] }));
  run.delta("It is not there.");
  await page.locator('.tool[data-state="error"] summary').click();
  await page.locator(".tool pre", { hasText: "no such file" }).waitFor();
  run.end("final", { text: "It is not there." });
  await page.locator("#stop").waitFor({ state: "hidden" });
});

browserTest.each(["button", "Escape"])(
  "an answer is stopped with %s, and the field has the focus",
  async (way) => {
    await openPeer();
    const page = await openChat();
    const run = await say(page, "go on");
    run.delta("One, two");
    peer.answers.set("chat.abort", ({ runId }) => {
      run.end("aborted", { text: "One, two", stopReason: "rpc" });
      return { ok: true, aborted: true, runIds: [runId] };
    });
    if (way === "button") await page.getByRole("button", { name: "Stop the answer" }).click();
    else await page.keyboard.press("Escape");
    expect(await peer.next("chat.abort")).toEqual({ sessionKey: "agent:main:main", runId: run.runId });
    await page.locator(".assistant", { hasText: "Stopped." }).waitFor();
    expect(await page.locator(".assistant .text").textContent()).toBe("One, two");
    expect(await page.evaluate("document.activeElement.id")).toBe("input");
  },
);

browserTest("a reload shows the history with its tool calls", async () => {
  await openPeer(recorded);
  const page = await openChat();
  await page.reload();
  await page.locator(".assistant").waitFor();
  expect(await page.locator(".user .bubble").allTextContents()).toEqual(["please use tool now"]);
  expect(await page.locator(".tool b").allTextContents()).toEqual(["session_status"]);
  expect(await page.locator(".tool pre").last().textContent()).toBe("Model: mock-1");
  expect(await page.locator(".assistant .text").allTextContents()).toEqual(["Hello from the mock provider."]);
});

browserTest(
  "a message written while an answer runs waits for it, and comes back when that is stopped",
  async () => {
    await openPeer();
    const page = await openChat();
    const first = await say(page, "one");
    await page.locator("#input").fill("two");
    await page.keyboard.press("Enter");
    await page.locator(".user[data-waiting]", { hasText: "two" }).waitFor();
    first.end("final", { text: "ok" });
    const second = await peer.next("chat.send");
    expect(second["message"]).toBe("two");
    await page.locator("#input").fill("three");
    await page.keyboard.press("Enter");
    await page.locator(".user[data-waiting]", { hasText: "three" }).waitFor();
    eventsOf(peer, String(second["idempotencyKey"])).end("aborted", {});
    await page.locator(".assistant", { hasText: "Stopped." }).waitFor();
    expect(await page.locator("#input").inputValue()).toBe("three");
  },
);

browserTest("Enter sends, Shift+Enter starts a line", async () => {
  await openPeer();
  const page = await openChat();
  await page.locator("#input").focus();
  await page.keyboard.type("a");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("b");
  await page.keyboard.press("Enter");
  expect((await peer.next("chat.send"))["message"]).toBe("a\nb");
});

browserTest("coming back to the tab leaves the question for the token alone", async () => {
  await openPeer();
  const page = await browser.context.newPage();
  await page.goto(`${peer.origin}/`);
  await page.getByLabel("Gateway token or password").fill("half a tok");
  await page.evaluate(
    "document.dispatchEvent(new Event('visibilitychange')); dispatchEvent(new Event('online'))",
  );
  expect(await page.locator("#token").isVisible()).toBe(true);
  expect(peer.requests.filter(({ method }) => method === "connect")).toHaveLength(1);
});

browserTest(
  "the keyboard is enough: any letter is for the field, up brings the last message back",
  async () => {
    await openPeer(recorded);
    const page = await openChat();
    await page.locator(".assistant").waitFor();
    await page.keyboard.press("ArrowUp");
    expect(await page.locator("#input").inputValue()).toBe("please use tool now");
    await page.locator("#input").fill("");
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.type("hi");
    expect(await page.locator("#input").inputValue()).toBe("hi");
  },
);

browserTest("a megabyte in the field does not make typing slow", async () => {
  await openPeer();
  const page = await openChat();
  await page.evaluate(`{
    const field = document.getElementById("input");
    field.value = "paste ".repeat(200_000);
    field.dispatchEvent(new Event("input"));
    field.focus();
  }`);
  const began = performance.now();
  await page.keyboard.type("abc");
  expect(performance.now() - began).toBeLessThan(3_000);
});

browserTest("keys of an input method neither send nor stop", async () => {
  await openPeer();
  const page = await openChat();
  await say(page, "go on");
  await page.locator("#input").fill("\u304b");
  for (const key of ["Enter", "Escape"]) {
    await page.locator("#input").dispatchEvent("keydown", { key, isComposing: true, bubbles: true });
    await page.locator("#input").dispatchEvent("keydown", { key, keyCode: 229, bubbles: true });
  }
  expect(await page.locator("#input").inputValue()).toBe("\u304b");
  expect(peer.requests.some(({ method }) => method === "chat.abort")).toBe(false);
});

browserTest("a new session asks once and then resets", async () => {
  await openPeer(recorded);
  const page = await openChat();
  await page.locator(".assistant").waitFor();
  await page.getByRole("button", { name: "New session" }).click();
  await page.keyboard.press("Escape");
  expect(peer.requests.some(({ method }) => method === "sessions.reset")).toBe(false);
  peer.answers.set("sessions.reset", ({ key }) => ({ ok: true, key, entry: {} }));
  peer.answers.set("chat.history", () => ({ messages: [] }));
  await page.getByRole("button", { name: "New session" }).click();
  await page.keyboard.press("Enter");
  expect(await peer.next("sessions.reset")).toEqual({ key: "agent:main:main", reason: "new" });
  await page.locator("#welcome").waitFor();
});

browserTest("another session is a choice away", async () => {
  await openPeer();
  peer.answers.set("sessions.list", () => ({
    sessions: [{ key: "agent:main:main" }, { key: "agent:main:telegram:direct:42", displayName: "Ada" }],
  }));
  const page = await openChat();
  await page.locator("#sessions").selectOption({ label: "Ada" });
  await expect
    .poll(() => peer.requests.findLast(({ method }) => method === "chat.history")?.params["sessionKey"])
    .toBe("agent:main:telegram:direct:42");
});

browserTest.each([
  ["rate_limit", "429 from the provider", "The model's provider asks for fewer requests."],
  ["context_length", "too many tokens", "Start a new session."],
  [undefined, "no provider is ready; set ANTHROPIC_API_KEY", "no provider is ready; set ANTHROPIC_API_KEY"],
])("a failed answer (%s) says why in plain words", async (errorKind, errorMessage, shown) => {
  await openPeer();
  const page = await openChat();
  const run = await say(page, "hi");
  run.end("error", { errorMessage, ...(errorKind && { errorKind }) });
  await page.locator(".assistant .problem", { hasText: shown }).waitFor();
});

browserTest("a message the gateway refuses is given back", async () => {
  await openPeer();
  const page = await openChat();
  peer.answers.set("chat.send", () => ({
    error: { code: "UNAVAILABLE", message: "the session store is degraded" },
  }));
  await page.locator("#input").fill("precious");
  await page.keyboard.press("Enter");
  await page.locator(".user[data-failed] .problem", { hasText: "the session store is degraded" }).waitFor();
  expect(await page.locator("#input").inputValue()).toBe("precious");
});

browserTest("it follows the system's colours until somebody chooses", async () => {
  await openPeer();
  const page = await openChat();
  const paper = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
  await page.emulateMedia({ colorScheme: "light" });
  expect(await paper()).toBe("rgb(251, 249, 246)");
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await paper()).toBe("rgb(23, 21, 19)");
  await page.getByRole("button", { name: "Dark theme" }).click();
  expect(await paper()).toBe("rgb(251, 249, 246)");
  await page.reload();
  await page.locator('body[data-state="ready"]').waitFor();
  expect(await paper()).toBe("rgb(251, 249, 246)");
  expect(await page.getByRole("button", { name: "Dark theme" }).getAttribute("aria-pressed")).toBe("false");
});

browserTest("it fits a phone, and stands still when motion is not wanted", async () => {
  await openPeer([
    ...recorded,
    { role: "user", content: "x".repeat(400) },
    {
      role: "assistant",
      content: [{ type: "text", text: "| a | b |\n|---|---|\n| 1 | " + "y".repeat(300) + " |" }],
    },
  ]);
  const page = await openChat();
  await page.setViewportSize({ width: 340, height: 640 });
  await page.emulateMedia({ reducedMotion: "reduce" });
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(340);
  const run = await say(page, "go");
  run.tool({ phase: "start", name: "exec", toolCallId: "1", args: { command: "sleep 9" } });
  await page.locator('.tool[data-state="running"] .tool-icon').waitFor();
  expect(await page.evaluate("document.getAnimations().length")).toBe(0);
});
