import { describe, expect, test } from "vitest";
import { createCleaner, type Rules } from "../../plugins/services/link-cleaner/clean.ts";
import { startFresh } from "../support/fresh.ts";
import { ask, rclaw } from "../support/product.ts";
import { cages, shipped } from "./lanes/shipped.ts";

const clean = createCleaner({});

test.each([
  ["https://a.example/p?utm_source=x&utm_medium=y", "https://a.example/p"],
  ["https://a.example/p?id=7&fbclid=abc#part", "https://a.example/p?id=7#part"],
  ["see [this](https://a.example/?gclid=1), and more", "see [this](https://a.example/), and more"],
  ["Look: https://a.example/x?q=ä b&utm_id=1.", "Look: https://a.example/x?q=ä b&utm_id=1."],
  ["Read https://a.example/x?UTM_Source=news.", "Read https://a.example/x."],
  ["<https://a.example/x?mc_eid=1&amp;page=2>", "<https://a.example/x?page=2>"],
  ["https://en.example/wiki/Mars_(planet)?utm_source=x", "https://en.example/wiki/Mars_(planet)"],
  ["https://a.example/?a=1&&b=%20c", "https://a.example/?a=1&&b=%20c"],
])("%s", (text, cleaned) => {
  expect(clean(text)).toBe(cleaned);
});

test.each([
  "no link, though utm_source=x",
  "`https://a.example/?utm_source=x`",
  "```\ncurl https://a.example/?utm_source=x\n```",
  "https://bucket.example/file?X-Amz-Signature=abc&utm_source=x",
  "https://a.example/?category=utm_source",
])("what it leaves alone: %s", (text) => {
  expect(clean(text)).toBe(text);
});

test("the settings name more parameters, and what is to stay", () => {
  const own = createCleaner({ remove: ["ref", "ad_*"], keep: ["gclid"], keepHosts: ["shop.example"] });
  expect(own("https://a.example/?ref=x&ad_id=1&gclid=2")).toBe("https://a.example/?gclid=2");
  expect(own("https://www.shop.example/?ref=x")).toBe("https://www.shop.example/?ref=x");
});

describe.each(cages)("%s", (cage) => {
  test("a message that is sent loses its tracking, and only that", async () => {
    const plugin = await shipped<Rules>(cage, "services/link-cleaner", { config: { remove: ["ref"] } });
    const send = (content: string) =>
      plugin.context.hooks.run("message_sending", { to: "42", content }, { channelId: "telegram" });
    expect(await send("https://a.example/?ref=1&utm_term=x&id=2")).toEqual({
      content: "https://a.example/?id=2",
    });
    expect(await send("nothing to clean")).toEqual({});
  });
});

test("it is off until somebody switches it on", async () => {
  await using product = await startFresh();
  const client = await product.connect();
  const status = async (): Promise<{ enabled: boolean; state: string }> =>
    (await ask(client, "plugins.info", { id: "link-cleaner" })) as { enabled: boolean; state: string };
  expect(await status()).toMatchObject({ enabled: false });
  expect(await rclaw(product.stateDir, ["plugin", "enable", "link-cleaner"])).toMatchObject({ code: 0 });
  expect(await status()).toMatchObject({ enabled: true });
});
