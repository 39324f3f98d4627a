import type { Route } from "@rclaw/plugin-sdk";
import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";
import type { Update } from "grammy/types";
import { maxTries, mayPass } from "./intake.ts";

const webhookRoute = "POST /telegram-webhook";
const bodyLimit = 65_536;
/** Wrong secrets per minute before the answer is "too many". A right one always passes. */
const maxWrong = 30;
const remembered = 1_000;

export interface WebhookAccount {
  readonly id: string;
  readonly secret: string;
  /** One try; Telegram brings the update again when it rejects. */
  take(update: Update): Promise<void>;
  onGivenUp(update: Update, error: unknown): void;
}

type Answer = Awaited<ReturnType<Route["handle"]>>;

/** Telegram's own post office. Nothing of a request is read before its secret has matched. */
export function createWebhook(accounts: () => readonly WebhookAccount[], now: () => number): Route {
  const taken = new Map<string, "done" | Promise<Answer>>();
  const tries = new Map<string, number>();
  let wrong: number[] = [];

  function refuse(): Answer {
    wrong = wrong.filter((at) => now() - at < 60_000);
    if (wrong.length >= maxWrong) return { status: 429, headers: { "retry-after": "60" } };
    wrong.push(now());
    return { status: 401 };
  }

  async function take(account: WebhookAccount, update: Update, key: string): Promise<Answer> {
    try {
      await account.take(update);
    } catch (error) {
      const count = (tries.get(key) ?? 0) + (mayPass(error) ? 0 : 1);
      remember(tries, key, count);
      if (count < maxTries) {
        taken.delete(key);
        return { status: 503, headers: { "retry-after": "1" } };
      }
      account.onGivenUp(update, error);
    }
    tries.delete(key);
    remember(taken, key, "done");
    return { status: 200 };
  }

  return {
    route: webhookRoute,
    auth: "open",
    bodyLimit,
    async handle({ headers, body }) {
      const given = headers["x-telegram-bot-api-secret-token"] ?? "";
      // All are compared, each in constant time: neither the answer's delay nor its text tells how close a guess was.
      const account = accounts()
        .filter(({ secret }) => isSameSecret(given, secret))
        .at(0);
      if (!account) return refuse();
      if (body.byteLength > bodyLimit) return { status: 413 };
      const update = parse(body);
      if (!update) return { status: 400 };
      const key = `${account.id}:${update.update_id}`;
      const known = taken.get(key);
      if (known) return known === "done" ? { status: 200 } : known;
      const answer = take(account, update, key);
      remember(taken, key, answer);
      return answer;
    },
  };
}

function parse(body: Uint8Array): Update | undefined {
  try {
    const update = JSON.parse(Buffer.from(body).toString("utf8")) as Update;
    return Number.isSafeInteger(update?.update_id) ? update : undefined;
  } catch {
    return undefined;
  }
}

/** Bounded: a flood of requests must not grow the state. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  if (map.size <= remembered) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
