import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import exchange from "./index.ts";

const place = {
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "run",
  toolCallId: "1",
  isOwner: true,
};

test("the rate is looked up and told in one line", async () => {
  const asked: string[] = [];
  await using rclaw = createTestContext({
    id: "exchange",
    config: { baseUrl: "https://rates.example" },
    fetch: async (url) => {
      asked.push(new Request(url).url);
      return Response.json({ rates: { USD: 1.25 } });
    },
  });
  await rclaw.activate(exchange);

  const { tools, signal } = rclaw.context;
  const result = await tools.call("exchange_rate", { from: "EUR", to: "USD" }, { ...place, signal });

  expect(result.content).toBe("1 EUR = 1.25 USD");
  expect(asked).toEqual(["https://rates.example/latest?base=EUR&symbols=USD"]);
});

test("a server in trouble is an answer for the model, not a crash", async () => {
  await using rclaw = createTestContext({
    id: "exchange",
    config: { baseUrl: "https://rates.example" },
    fetch: async () => new Response("", { status: 503 }),
  });
  await rclaw.activate(exchange);

  const { tools, signal } = rclaw.context;
  const result = await tools.call("exchange_rate", { from: "EUR", to: "USD" }, { ...place, signal });

  expect(result).toEqual({ content: "The exchange rates are not available (503).", isError: true });
});
