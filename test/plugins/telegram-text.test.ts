import type { Update } from "grammy/types";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toInbound } from "../../plugins/channels/telegram/inbound.ts";
import { toHtml } from "../../plugins/channels/telegram/markup.ts";
import { split } from "../../plugins/channels/telegram/split.ts";

const me = { id: 777, username: "claw_bot" };
const alice = { id: 42, is_bot: false, first_name: "Alice", last_name: "L", username: "alice" };
const direct = { id: 42, type: "private", first_name: "Alice" };
const team = { id: -1001234567890, type: "supergroup", title: "Team" };
const update = (message: object): Update =>
  ({
    update_id: 1,
    message: { message_id: 5, date: 1_700_000_000, from: alice, chat: direct, ...message },
  }) as unknown as Update;
const read = (message: object) => toInbound("default", update(message), me);

describe("an update in the house's words", () => {
  test("a direct message", () => {
    expect(read({ text: "hi" })).toEqual({
      id: "42:5",
      accountId: "default",
      chatType: "direct",
      peerId: "42",
      sender: { id: "42", name: "Alice L" },
      text: "hi",
      messageId: "5",
      timestamp: 17e11,
      mentioned: false,
    });
  });

  test("a supergroup keeps its long negative id, and a group that Telegram may invent is a group", () => {
    expect(read({ chat: team, text: "x" })).toMatchObject({
      chatType: "group",
      peerId: "-1001234567890",
      peerName: "Team",
      id: "-1001234567890:5",
    });
    expect(read({ chat: { ...team, type: "hologram" }, text: "x" })).toMatchObject({ chatType: "group" });
  });

  test("topics are threads, General is 1, and a chain of replies is none", () => {
    const forum = { ...team, is_forum: true };
    expect(read({ chat: forum, text: "x", message_thread_id: 9, is_topic_message: true })?.threadId).toBe(
      "9",
    );
    expect(read({ chat: forum, text: "x" })?.threadId).toBe("1");
    expect(read({ chat: forum, text: "x", message_thread_id: 3 })?.threadId).toBe("1");
    expect(read({ chat: team, text: "x", message_thread_id: 3 })?.threadId).toBeUndefined();
    expect(read({ text: "x", message_thread_id: 9, is_topic_message: true })?.threadId).toBe("9");
  });

  const entity = (type: string, offset: number, length: number, more = {}) => [
    { type, offset, length, ...more },
  ];
  test.each([
    ["@mention", { text: "hey @Claw_Bot!", entities: entity("mention", 4, 9) }, true],
    ["somebody else", { text: "hey @other_bot", entities: entity("mention", 4, 10) }, false],
    ["the name without an entity", { text: "hey @Claw_bot, you" }, true],
    ["a longer name", { text: "hey @claw_bot_two" }, false],
    ["an address", { text: "write to me@claw_bot" }, false],
    ["after an emoji", { text: "👀 @claw_bot", entities: entity("mention", 3, 9) }, true],
    ["in a caption", { photo: [{}], caption: "@claw_bot", caption_entities: entity("mention", 0, 9) }, true],
    [
      "a text mention",
      { text: "you there", entities: entity("text_mention", 0, 3, { user: { id: 777 } }) },
      true,
    ],
    ["a command for this bot", { text: "/new@claw_bot", entities: entity("bot_command", 0, 13) }, true],
    ["a reply to the bot", { text: "yes", reply_to_message: { from: { id: 777 } } }, true],
    ["a reply to somebody else", { text: "yes", reply_to_message: { from: { id: 8 } } }, false],
    [
      "a message in a topic the bot opened",
      { text: "yes", reply_to_message: { from: { id: 777 }, forum_topic_created: {} } },
      false,
    ],
  ])("%s: mentioned %#", (_name, fields, mentioned) => {
    expect(read({ chat: team, ...fields })?.mentioned).toBe(mentioned);
  });

  test.each([
    [{ photo: [{}] }, "<media:image>"],
    [{ photo: [{}], caption: "look" }, "<media:image>\nlook"],
    [{ video: {} }, "<media:video>"],
    [{ video_note: {} }, "<media:video>"],
    [{ animation: {}, document: {} }, "<media:video>"],
    [{ voice: {} }, "<media:audio>"],
    [{ audio: {} }, "<media:audio>"],
    [{ document: {}, caption: "file" }, "<media:document>\nfile"],
    [{ sticker: { emoji: "🦀" } }, "<media:sticker>🦀"],
    [{ location: { latitude: 1.5, longitude: -2 } }, "[location 1.5, -2]"],
    [{ contact: { first_name: "Bob", phone_number: "+43123" } }, "[contact Bob, +43123]"],
    [{ poll: { question: "Lunch?" } }, "[poll Lunch?]"],
    [{ text: "@claw_bot /status" }, "/status"],
    [{ text: "@Claw_Bot, what is this? @claw_bot!" }, "what is this? @claw_bot!"],
    [{ text: "@claw_bot" }, "@claw_bot"],
    [{ text: "@claw_bots hi" }, "@claw_bots hi"],
  ])("%j is told as %j", (fields, text) => {
    expect(read(fields)?.text).toBe(text);
  });

  test("a command for another bot is none of ours, whatever the group's rules are", () => {
    expect(read({ chat: team, text: "/help@other_bot" })).toBeUndefined();
    expect(read({ chat: team, text: "/help@CLAW_bot" })).toMatchObject({ text: "/help@CLAW_bot" });
    expect(read({ chat: team, text: "/help" })).toMatchObject({ text: "/help", mentioned: false });
  });

  test("a channel and an anonymous admin speak as chats; bots, edits and service messages are not heard", () => {
    const post = { message_id: 5, date: 1, chat: { id: -100, type: "channel", title: "News" }, text: "post" };
    expect(toInbound("a", { update_id: 1, channel_post: post } as unknown as Update, me)).toMatchObject({
      chatType: "channel",
      peerId: "-100",
      sender: { id: "-100", name: "News" },
      accountId: "a",
    });
    const anonymous = { id: 1087968824, is_bot: true, first_name: "Group" };
    expect(read({ chat: team, from: anonymous, sender_chat: team, text: "x" })?.sender).toEqual({
      id: "-1001234567890",
      name: "Team",
    });
    expect(read({ chat: team, from: { ...alice, is_bot: true }, text: "x" })).toBeUndefined();
    expect(read({ chat: team, new_chat_title: "x" })).toBeUndefined();
    expect(toInbound("a", { update_id: 1, edited_message: post } as unknown as Update, me)).toBeUndefined();
    expect(toInbound("a", { update_id: 1 }, me)).toBeUndefined();
  });
});

describe("Markdown as Telegram's HTML", () => {
  test.each([
    ["plain", "plain"],
    ['a < b & c > d "q"', "a &lt; b &amp; c &gt; d &quot;q&quot;"],
    ["**bold** and __bold__", "<b>bold</b> and <b>bold</b>"],
    ["*it* and _it_", "<i>it</i> and <i>it</i>"],
    ["~~gone~~", "<s>gone</s>"],
    ["***both***", "<b><i>both</i></b>"],
    ["**a *b* c**", "<b>a <i>b</i> c</b>"],
    ["**bold _it_**", "<b>bold <i>it</i></b>"],
    ["snake_case_name and 2*3*4", "snake_case_name and 2<i>3</i>4"],
    ["2 * 3 * 4", "2 * 3 * 4"],
    ["**open", "**open"],
    ["**a **", "**a **"],
    ["`a < *b*`", "<code>a &lt; *b*</code>"],
    ["`` a`b ``", "<code>a`b</code>"],
    ["a ` b", "a ` b"],
    ["\\*not\\* \\`x\\`", "*not* `x`"],
    ["[t *i*](https://x.org/?a=1&b=2)", '<a href="https://x.org/?a=1&amp;b=2">t <i>i</i></a>'],
    ["[w](https://en.org/a_(b))", '<a href="https://en.org/a_(b)">w</a>'],
    ["![alt](https://x.org/i.png)", '<a href="https://x.org/i.png">alt</a>'],
    ["[x](javascript:alert(1))", "[x](javascript:alert(1))"],
    ['[x](https://a.org/"onclick=)', '<a href="https://a.org/&quot;onclick=">x</a>'],
    ["[x] (no link)", "[x] (no link)"],
    ["# Title **b**", "<b>Title b</b>"],
    ["- one\n* two\n  + three", "• one\n• two\n  • three"],
    ["> quote\n> *more*\nafter", "<blockquote>quote\n<i>more</i></blockquote>\nafter"],
    ["```ts\nconst a = 1 < 2;\n```", '<pre><code class="language-ts">const a = 1 &lt; 2;</code></pre>'],
    ["```\n**x**\n```\nafter", "<pre>**x**</pre>\nafter"],
    ["~~~\n```\n~~~", "<pre>```</pre>"],
    ["```py\nnever closed", '<pre><code class="language-py">never closed</code></pre>'],
    ['```a"b>\nx\n```', "<pre>x</pre>"],
    [
      "Look:\n| a | b |\n|---|:-:|\n| 1 | <2> |\nafter",
      "Look:\n<pre>| a | b |\n|---|:-:|\n| 1 | &lt;2&gt; |</pre>\nafter",
    ],
    ["a | b\n--- | ---\n1 | 2", "<pre>a | b\n--- | ---\n1 | 2</pre>"],
    ["a | b\n---\n*c*", "a | b\n---\n<i>c</i>"],
    ["<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"],
    ["😀 **é**", "😀 <b>é</b>"],
  ])("%j", (markdown, html) => {
    expect(toHtml(markdown)).toBe(html);
  });

  const noise = fc.string({
    unit: fc.constantFrom(
      "*",
      "_",
      "~",
      "`",
      "[",
      "]",
      "(",
      ")",
      "\\",
      "\n",
      " ",
      "a",
      "b",
      "<",
      "&",
      ">",
      "#",
      "-",
      "|",
      "\n|-|\n",
      "!",
      "https://x.y",
      "😀",
      "```\n",
    ),
    maxLength: 60,
  });

  test("whatever the text, tags are balanced and nothing grows", () => {
    fc.assert(
      fc.property(noise, (text) => {
        const html = toHtml(text);
        const open: string[] = [];
        for (const [, close, tag] of html.matchAll(/<(\/?)([a-z]+)(?: (?:href|class)="[^"<>]*")?>/g)) {
          if (close) expect(open.pop()).toBe(tag);
          else {
            expect(open).not.toContain(tag);
            open.push(tag!);
          }
        }
        expect(open).toEqual([]);
        const shown = html.replaceAll(/<[^>]*>/g, "");
        expect(shown).not.toMatch(/[<>"]/);
        expect(shown.replaceAll(/&(?:amp|lt|gt|quot);/g, "x").length).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 2_000 },
    );
  });

  test("hostile text takes no long time", () => {
    const start = performance.now();
    for (const piece of ["*", "_a", "[", "`a", "**a ", "~~", "[a](", "`` ` "])
      toHtml(piece.repeat(4_000 / piece.length));
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe("long texts", () => {
  test("are cut between paragraphs, lines, words, in that order", () => {
    expect(split("short", 100)).toEqual(["short"]);
    expect(split("", 100)).toEqual([]);
    expect(split("aaaa bbbb\n\ncccc dddd\n\neeee", 22)).toEqual(["aaaa bbbb\n\ncccc dddd", "eeee"]);
    expect(split("line one\nline two\nline three", 18)).toEqual(["line one\nline two", "line three"]);
    expect(split("aaaa bbbb cccc", 9)).toEqual(["aaaa bbbb", "cccc"]);
    expect(split("x".repeat(25), 10)).toEqual(["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
  });

  test("never cut a character in half", () => {
    for (const part of split("😀".repeat(50), 11)) expect(part).toBe("😀".repeat(part.length / 2));
  });

  test("a code block that is cut is closed and opened again", () => {
    const code = Array.from({ length: 20 }, (_, i) => `line ${i}`).join("\n");
    const parts = split(`before\n\n\`\`\`ts\n${code}\n\`\`\`\n\nafter`, 60);
    expect(parts[0]).toBe("before");
    expect(parts.at(-1)).toMatch(/after$/);
    const blocks = parts.filter((part) => part.includes("```"));
    for (const part of blocks) expect(part).toMatch(/^```ts\n[^`]*\n```/);
    expect(
      blocks.flatMap((part) => part.split("\n").filter((row) => row.startsWith("line"))).join("\n"),
    ).toBe(code);
  });

  test("whatever the text, parts fit, no half characters, nothing is lost", () => {
    const words = fc.array(
      fc.constantFrom("word", "😀😀😀", "\n", "\n\n", " ", "x".repeat(30), "```\n", "a b c"),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(words, fc.integer({ min: 20, max: 80 }), (pieces, limit) => {
        const text = pieces.join("");
        const parts = split(text, limit);
        for (const part of parts) {
          expect(part.length).toBeLessThanOrEqual(limit);
          expect(part).not.toMatch(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/);
          expect(part.trim()).not.toBe("");
        }
        const bare = (value: string): string => value.replaceAll(/[\s`]/g, "");
        expect(bare(parts.join(""))).toBe(bare(text));
      }),
      { numRuns: 1_000 },
    );
  });
});
