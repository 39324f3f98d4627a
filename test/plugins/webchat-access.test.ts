import type { Page } from "playwright-core";
import { expect } from "vitest";
import { browserTest, openChat, openPeer, peer } from "./webchat-browser.ts";

const card = {
  id: "1".repeat(16),
  plugin: "weather",
  host: "127.0.0.1",
  port: 8080,
  line: "127.0.0.1:8080",
  reason: "it is a loopback address",
  firstAt: 1,
  count: 1,
};
const other = {
  ...card,
  id: "2".repeat(16),
  plugin: "news",
  host: "api.example.org",
  port: 443,
  line: "api.example.org",
  reason: undefined,
};

async function open(pending: readonly (object | null)[] = []): Promise<Page> {
  await openPeer();
  peer.answers.set("egress.pending", () => ({ pending }));
  peer.answers.set("egress.resolve", () => ({}));
  return openChat();
}
const words = (page: Page): Promise<string> => page.locator("#access").innerText();

browserTest("a refused host is shown with its reason and with what a yes would write", async () => {
  const page = await open();
  await page.locator("#input").fill("half a sentence");
  expect(await page.locator("#access").isVisible()).toBe(false);
  peer.event("egress.denied", card);
  await page.getByRole("region", { name: "Asked of you" }).waitFor();
  expect(await words(page)).toContain(
    "Plugin weather wanted to reach 127.0.0.1:8080, but it is a loopback address.",
  );
  expect(await words(page)).toContain(
    "Always allow adds 127.0.0.1:8080 to plugins.entries.weather.grants.net of the configuration.",
  );
  expect(await page.locator("#spoken").textContent()).toContain("Plugin weather wanted to reach");
  // Nobody's typing is taken from them.
  expect(await page.evaluate("document.activeElement.id")).toBe("input");
});

browserTest.for([
  ["Allow once", "once"],
  ["Always allow", "always"],
  ["Deny", "deny"],
] as const)("%s answers %s, and the card is gone", async ([label, answer]) => {
  const page = await open([card]);
  await page.getByRole("button", { name: label }).click();
  expect(await peer.next("egress.resolve")).toEqual({ id: card.id, answer });
  await page.locator("#access").waitFor({ state: "hidden" });
  expect(await page.evaluate("document.activeElement.id")).toBe("input");
});

browserTest("what is open is asked for at every connection, and shown one at a time", async () => {
  const page = await open([card, other]);
  await page.getByText("1 more").waitFor();
  peer.answers.set("egress.pending", () => ({ pending: [other] }));
  peer.dropAll();
  await page.locator("#access").getByText("Plugin news wanted to reach api.example.org:443.").waitFor();
  expect(await page.getByText("1 more").count()).toBe(0);
});

browserTest("an answer that was given elsewhere takes the card away here", async () => {
  const page = await open([card, other]);
  await page.locator("#access").getByText("Plugin weather").waitFor();
  peer.event("egress.resolved", { id: card.id, answer: "deny" });
  await page.locator("#access").getByText("Plugin news").waitFor();
  const refusal = { error: { code: "NOT_FOUND", message: "there is no question" } };
  peer.answers.set("egress.resolve", () => refusal);
  await page.getByRole("button", { name: "Deny" }).click();
  await page.locator("#access").waitFor({ state: "hidden" });
  expect(await page.locator("#notice").isVisible()).toBe(false);
});

browserTest(
  "a card that comes up under the pointer is not answered by a press meant for another",
  async () => {
    const page = await open([card, other]);
    const always = page.getByRole("button", { name: "Always allow" });
    await always.dblclick();
    await page.locator("#access").getByText("Plugin news").waitFor();
    await page.locator("#access button:enabled").first().waitFor();
    expect(peer.requests.filter(({ method }) => method === "egress.resolve")).toHaveLength(1);
  },
);

browserTest("an answer that could not be written stays a question", async () => {
  const page = await open([card]);
  peer.answers.set("egress.resolve", () => ({ error: { code: "UNAVAILABLE", message: "the disk is full" } }));
  await page.getByRole("button", { name: "Always allow" }).click();
  await page.getByText("The answer was not taken: the disk is full").waitFor();
  expect(await page.getByRole("button", { name: "Deny" }).isEnabled()).toBe(true);
});

browserTest("whoever may not answer sees nothing", async () => {
  await openPeer();
  peer.answers.set("egress.pending", () => ({
    error: { code: "INVALID_REQUEST", message: "missing scope: operator.approvals" },
  }));
  const page = await openChat();
  await peer.next("egress.pending");
  peer.event("egress.denied", card);
  // Frames keep their order: what comes after the card has been seen means that the card was, too.
  peer.event("shutdown", {});
  await page.getByText("The gateway is stopping.").waitFor();
  expect(await page.locator("#access").isVisible()).toBe(false);
});

browserTest("a stranger's words are text, cut, and hide nothing", async () => {
  const page = await open([
    {
      ...card,
      plugin: `<img src=x onerror="window.ran=1">${"p".repeat(500)}`,
      host: `bank.example.${"a".repeat(500)}.evil.example`,
      line: `good.example\u202e\u0007\u200b:1`,
      reason: `<script>window.ran=1</script>\u001b[31m`,
    },
    { id: 7 },
    null,
  ]);
  await page.locator("#access").waitFor();
  const text = await words(page);
  expect(text).toContain('Plugin <img src=x onerror="window.ran=1">');
  expect(text).toContain(".evil.example:8080");
  expect(text).not.toContain("bank.example");
  expect(text).toContain("good.example\\u{202e}\\u{0007}\\u{200b}:1");
  expect(text.length).toBeLessThan(900);
  expect(await page.evaluate("window.ran")).toBeUndefined();
  expect(await page.locator("#access img, #access script").count()).toBe(0);
  expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
});
