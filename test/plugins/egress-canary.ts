import { inspect } from "node:util";
import { expect } from "vitest";
import type { Logger } from "@rclaw/plugin-sdk";
import type { SecretHandles } from "@rclaw/plugin-sdk/services/egress";
import { createSecretHandles } from "../../plugins/services/egress/secrets.ts";

/** Needs encoding in URLs, forms, JSON and HTML, so that each of them writes it in its own way. */
export const canary = 'c4n4ry/"&+ %<key>:7f3a9d';

/** Everything the plugin's side gets to see, and whether the secret is in it in any form. */
export function createWitness() {
  const seen: string[] = [];
  const keep = (value: unknown): void =>
    void seen.push(
      inspect(value, { depth: 12, maxStringLength: null, maxArrayLength: null, showHidden: true }),
    );
  const write = (fields: object, message?: string): void => keep([fields, message]);
  const log: Logger = { debug: write, info: write, warn: write, error: write };
  const forms = (secret: string): string[] => {
    const base64 = Buffer.from(secret).toString("base64");
    return [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      base64,
      base64.replace(/=+$/, ""),
      Buffer.from(secret).toString("base64url"),
      // What can be decoded again, wherever it starts in the bytes around it.
      Buffer.from(`::${secret}`).toString("base64").slice(4, -4),
      Buffer.from(secret).toString("hex"),
    ];
  };
  return {
    log,
    keep,
    async answer(response: Response): Promise<string> {
      const text = await response.text();
      keep([response.status, response.statusText, response.url, [...response.headers.entries()], text]);
      keep(response.headers.getSetCookie());
      return text;
    },
    async failure(
      promise: Promise<unknown>,
    ): Promise<Error & { code?: string; details?: Record<string, unknown> }> {
      const error = await promise.then(
        (value) => {
          throw new Error(`there was no error but ${inspect(value)}`);
        },
        (reason: unknown) => reason as Error,
      );
      keep([error.message, error.stack, error.cause, error]);
      return error;
    },
    clean(secret = canary): void {
      expect(seen.length).toBeGreaterThan(0);
      const text = seen.join("\n");
      for (const form of forms(secret)) expect(text.includes(form), form).toBe(false);
    },
  };
}

export function handlesFor(
  hosts: readonly string[],
  secrets: Readonly<Record<string, string>> = { "weather.key": canary },
  owner = "weather",
): SecretHandles {
  return createSecretHandles({
    owner,
    bindings: Object.keys(secrets).map((name) => ({ name, hosts })),
    resolve: (name) =>
      secrets[name] === undefined
        ? Promise.reject(new Error(`no secret ${name}`))
        : Promise.resolve(secrets[name]),
  });
}
