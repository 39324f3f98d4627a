import type { RouteAnswer } from "@rclaw/plugin-sdk/gateway";

export function json(status: number, body: object): RouteAnswer {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status, headers, body: JSON.stringify(body) };
}

export function plain(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): RouteAnswer {
  return { status, headers: { ...headers, "content-type": "text/plain; charset=utf-8" }, body };
}

/** What a sender did wrong; the text is for whoever set it up. */
export class Refusal extends Error {
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}
