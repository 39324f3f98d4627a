import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { token } from "../support/product.ts";

/** What OpenClaw 2026.2.26 answered, with ids, times and token counts masked and pages left out. */
interface Exchange {
  readonly req: {
    readonly method: string;
    readonly path: string;
    readonly auth: boolean;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  };
  readonly res: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
}

const exchanges = readFileSync(path.resolve(import.meta.dirname, "../fixtures/http.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Exchange);

/**
 * Everything is compared exactly, status, text and the headers below, but for these. The number
 * is the exchange's; `status` alone means that only it and the headers every answer has are compared.
 */
const otherwise: Readonly<Record<number, { readonly why: string; readonly expect: Expectation }>> = {
  1: { why: "the page is rclaw's own", expect: "page" },
  3: { why: "the page is rclaw's own", expect: "page" },
  7: {
    why: "it answers how the gateway is, where OpenClaw of that time answered its page",
    expect: "status",
  },
  8: {
    why: "it answers how the gateway is, where OpenClaw of that time answered its page",
    expect: "status",
  },
  13: {
    why: "the last piece says why it ended: OpenAI's own client takes no stream without it",
    expect: "stream",
  },
  16: { why: "in how many pieces an answer comes is the model's business", expect: "stream" },
  20: { why: "there is no such tool; the same is asked of one that there is", expect: "tool" },
  21: { why: "there is no such tool; the same is asked of one that there is", expect: "tool" },
  36: { why: "there is no canvas", expect: 404 },
  37: { why: "there is no canvas", expect: 404 },
  38: { why: "there is no canvas", expect: 404 },
  39: { why: "there is no canvas, so nothing has to be kept from anybody", expect: 404 },
};
type Expectation = "page" | "status" | "stream" | "tool" | number;

const always = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
} as const;
const headersCompared = ["content-type", "cache-control", "allow"] as const;

const endpoints = { chatCompletions: { enabled: true }, responses: { enabled: true } };
const product = freshForAll({
  model: "openai-completions",
  config: { gateway: { http: { endpoints } }, hooks: { enabled: true, token: "hook-test-token" } },
});
beforeAll(() =>
  product.model.answer(
    "",
    { content: "Hello from the mock provider. This reply is streamed in several deltas." },
    undefined,
    { chunkSize: 7, streamingProfile: { ttft: 5, tps: 500 } },
  ),
);

const asked = ({ req: { method, path: at, auth, headers, body } }: Exchange, number: number): string => {
  const shown = body === undefined ? "" : ` ${typeof body === "string" ? body : JSON.stringify(body)}`;
  return `${number} ${method} ${at}${auth ? " with the token" : ""}${Object.keys(headers).join()}${shown}`.slice(
    0,
    110,
  );
};

async function replay({ req }: Exchange, body: unknown = req.body) {
  const sent = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(`${product.http}${req.path}`, {
    method: req.method,
    headers: {
      ...(sent !== undefined && { "content-type": "application/json" }),
      ...(req.auth && { authorization: `Bearer ${token}` }),
      ...req.headers,
    },
    ...(sent !== undefined && { body: sent }),
  });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
}

function masked(body: string): string {
  return (
    body
      .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>")
      .replaceAll(/"(created|created_at)":\d{10}/g, '"$1":0')
      .replaceAll(/_tokens":\d+/g, '_tokens":0')
      // Which line and column it is, later engines say as well.
      .replaceAll(/ in JSON at position \d+(?: \(line \d+ column \d+\))?/g, " in JSON")
  );
}

const expectHeaders = (
  actual: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): void => {
  for (const name of headersCompared)
    if (wanted[name] !== undefined) expect(actual[name], name).toBe(wanted[name]);
};

/** A stream as a reader puts it together: the kinds of pieces, and the text. */
function story(body: string): { kinds: readonly string[]; text: string; shapes: readonly string[] } {
  const data = [...body.matchAll(/^data: (.*)$/gm)].map(([, line = ""]) => line);
  const pieces = data
    .filter((line) => line !== "[DONE]")
    .map((line) => JSON.parse(line) as Record<string, never>);
  const textOf = ({ choices, delta }: Record<string, never>): string =>
    (choices as { delta: { content?: string } }[] | undefined)?.[0]?.delta.content ?? delta ?? "";
  const kinds = pieces.map((piece) => {
    const { type, object } = piece as { type?: string; object?: string };
    return type ?? `${object}${textOf(piece) === "" ? "" : " text"}`;
  });
  return {
    kinds: kinds.filter((kind, i) => kind !== kinds[i - 1]),
    text: pieces.map(textOf).join(""),
    shapes: pieces.map((piece) => Object.keys(piece).join()),
  };
}

describe("every exchange that was recorded with OpenClaw", () => {
  test.each(exchanges.map((exchange, i) => [asked(exchange, i + 1), exchange, i + 1] as const))(
    "%s",
    async (_name, exchange, number) => {
      const { res } = exchange;
      const other = otherwise[number]?.expect;
      const actual = await replay(
        exchange,
        other === "tool" ? { tool: "read", args: { path: "." } } : undefined,
      );
      expect(actual.headers).toMatchObject(always);
      expect(actual.status).toBe(typeof other === "number" ? other : res.status);
      if (typeof other === "number" || other === "status") return;
      expectHeaders(actual.headers, res.headers);
      if (other === "page") {
        expect(actual.body).toMatch(/^<!doctype html>/i);
        expect(actual.headers["x-frame-options"]).toBe("DENY");
        for (const rule of [
          "default-src 'self'",
          "base-uri 'none'",
          "object-src 'none'",
          "frame-ancestors 'none'",
        ])
          expect(actual.headers["content-security-policy"]).toContain(rule);
      } else if (other === "stream") expectStream(actual.body, res.body);
      else if (other === "tool") {
        const { ok, result } = JSON.parse(actual.body) as {
          ok: boolean;
          result: { content: { type: string }[] };
        };
        expect({ ok, keys: Object.keys(result), type: result.content[0]?.type }).toEqual({
          ok: true,
          keys: ["content", "details"],
          type: "text",
        });
      } else expect(masked(actual.body)).toBe(masked(res.body));
    },
  );
});

/** The recording of the second kind was cut; what there is of it is how ours begins. */
function expectStream(actual: string, recorded: string): void {
  const [now, then] = [story(actual), story(recorded)];
  expect(actual.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(now.text).toBe("Hello from the mock provider. This reply is streamed in several deltas.");
  expect(then.text).toBe(now.text);
  expect(now.kinds.slice(0, then.kinds.length)).toEqual(then.kinds);
  expect(new Set(now.shapes)).toEqual(new Set([...then.shapes, ...now.shapes.slice(-1)]));
}

test("all forty are replayed, and every exception is one of them", () => {
  expect(exchanges).toHaveLength(40);
  expect(Object.keys(otherwise).every((number) => Number(number) >= 1 && Number(number) <= 40)).toBe(true);
});
