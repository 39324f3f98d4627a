import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { fakeApi, meResult, never, quiet, setUp, withPeer } from "./telegram-setup.ts";

describe("sending", () => {
  test("splits at the limit, answers to the first part, and keeps code blocks whole", async () => {
    const bot = await withPeer();
    const text = `${"word ".repeat(1_500)}\n\n\`\`\`js\n${"code();\n".repeat(300)}\`\`\`\n😀`;
    await bot.send({ text, replyTo: "5" });
    const parts = await bot.peer.calls("sendMessage");
    expect(parts.length).toBe(3);
    expect(parts.map((part) => "reply_parameters" in part)).toEqual([true, false, false]);
    expect(String(parts[2]!["text"])).toContain('<pre><code class="language-js">');
    await expect(bot.send({ text: " \n" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(bot.send({ to: "42/../x" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  test.each(["can't parse entities: byte 7", "ENTITY_BOUNDS_INVALID", "message is too long"])(
    "falls back to plain text when Telegram does not take the markup: %s",
    async (reason) => {
      const api = await fakeApi((method, body) => {
        if (method !== "sendMessage") return quiet(method);
        return body["parse_mode"]
          ? { status: 400, description: `Bad Request: ${reason}` }
          : { result: { message_id: 8 } };
      });
      const bot = await setUp(api);
      expect(await bot.send({ text: "**x** & y" })).toEqual({ id: "8" });
      expect(api.calls.filter(([method]) => method === "sendMessage").map(([, { text }]) => text)).toEqual([
        "<b>x</b> &amp; y",
        "**x** & y",
      ]);
    },
  );

  test("REL-23: a failed part is where the next try goes on", async () => {
    let fail = true;
    const api = await fakeApi((method, body) => {
      if (method !== "sendMessage") return quiet(method);
      if (fail && String(body["text"]).startsWith("b")) return { status: 500, description: "Internal" };
      return { result: { message_id: 1 } };
    });
    const bot = await setUp(api);
    const message = {
      accountId: "default",
      to: "42",
      text: ["a", "b", "c"].map((letter) => letter.repeat(3_000)).join("\n\n"),
    };
    await expect(bot.channel.send(message, never)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
    });
    fail = false;
    await bot.channel.send(message, never);
    expect(
      api.calls.filter(([method]) => method === "sendMessage").map(([, { text }]) => String(text)[0]),
    ).toEqual(["a", "b", "b", "c"]);
  });

  test.each([
    [
      "too fast",
      { status: 429, description: "Too Many Requests: retry after 7", parameters: { retry_after: 7 } },
      { code: "RATE_LIMITED", retryable: true, details: { retryAfterMs: 7_000 } },
    ],
    ["server trouble", { status: 502, description: "Bad Gateway" }, { code: "UNAVAILABLE", retryable: true }],
    [
      "blocked by the person",
      { status: 403, description: "Forbidden: bot was blocked by the user" },
      { code: "UNAVAILABLE", retryable: false },
    ],
    [
      "unknown chat",
      { status: 400, description: "Bad Request: chat not found" },
      { code: "NOT_FOUND", retryable: false },
    ],
    ["wrong token", { status: 401, description: "Unauthorized" }, { code: "UNAUTHORIZED", retryable: false }],
    [
      "an answer that got lost",
      "reset",
      { code: "UNAVAILABLE", retryable: false, details: { uncertain: true } },
    ],
    [
      "an answer that makes no sense",
      "junk",
      {
        code: "UNAVAILABLE",
        retryable: false,
        details: { uncertain: true },
        message: expect.stringContaining("instead of JSON; is a proxy in between?") as string,
      },
    ],
    [
      "a proxy that gave up waiting",
      { status: 504, description: "Gateway Timeout" },
      { code: "UNAVAILABLE", retryable: false, details: { uncertain: true } },
    ],
    [
      "a proxy's page for server trouble",
      { status: 502, html: "<html>Bad Gateway</html>" },
      { code: "UNAVAILABLE", retryable: true, details: { uncertain: false } },
    ],
    [
      "a proxy's page that is no answer of Telegram's",
      { status: 404, html: "<html>Not found</html>" },
      { code: "UNAVAILABLE", retryable: false },
    ],
  ] as const)("REL-22: %s", async (_name, answer, expected) => {
    const bot = await setUp(await fakeApi((method) => (method === "sendMessage" ? answer : quiet(method))));
    await expect(bot.send({})).rejects.toMatchObject(expected);
  });

  test("REL-22: what never left may be tried again", async () => {
    const server = http.createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await new Promise((done) => server.close(done));
    const bot = await setUp({ apiRoot: `http://127.0.0.1:${port}`, token: "1:x" });
    await expect(bot.send({})).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      details: { uncertain: false },
    });
  });

  test("a group that became a supergroup is followed", async () => {
    const api = await fakeApi((method, body) => {
      if (method !== "sendMessage") return quiet(method);
      if (body["chat_id"] === "-5")
        return {
          status: 400,
          description: "Bad Request: group chat was upgraded",
          parameters: { migrate_to_chat_id: -1005 },
        };
      return { result: { message_id: 3 } };
    });
    expect(await (await setUp(api)).send({ to: "-5" })).toEqual({ id: "3" });
  });

  test("an answer to a topic that was deleted goes to its group", async () => {
    const api = await fakeApi((method, body) => {
      if (method !== "sendMessage") return quiet(method);
      return "message_thread_id" in body
        ? { status: 400, description: "Bad Request: message thread not found" }
        : { result: { message_id: 4 } };
    });
    expect(await (await setUp(api)).send({ to: "-5", threadId: "77" })).toEqual({ id: "4" });
  });

  test("stops when aborted", async () => {
    const bot = await setUp(await fakeApi((method) => (method === "sendMessage" ? "hang" : quiet(method))));
    const controller = new AbortController();
    const pending = bot.channel.send({ accountId: "default", to: "42", text: "x" }, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(pending).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("SEC-197: no error, log line or status ever shows the token", async () => {
    const answers = [
      "reset",
      "junk",
      { status: 500, description: "failed for /bot123456:fake-token_AbCdEf/sendMessage" },
      { status: 401, description: "Unauthorized 123456:fake-token_AbCdEf" },
    ] as const;
    const shown: string[] = [];
    for (const answer of answers) {
      const api = await fakeApi((method, _body, count) =>
        method === "getMe" && count > 1 ? meResult : answer,
      );
      const bot = await setUp(api);
      const errors = [
        await bot.start().catch((error: unknown) => error),
        await bot.send({}).catch((error: unknown) => error),
        await bot.channel.typing!({ accountId: "default", to: "1" }, never).catch((error: unknown) => error),
      ];
      for (let error of errors) {
        for (; error instanceof Error; error = error.cause)
          shown.push(error.message, String(error.stack), JSON.stringify(Object.entries(error)));
      }
      await vi.waitFor(async () => expect((await bot.status())[0]!.lastError).toBeDefined());
      shown.push(JSON.stringify(await bot.status(true)), bot.context.logs.join("\n"));
    }
    expect(shown.join("\n")).not.toContain("fake-token_AbCdEf");
    expect(shown.join("\n")).toContain("[token]");
  });
});
