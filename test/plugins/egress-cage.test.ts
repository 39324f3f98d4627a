import type { Manifest } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import { cage } from "../../plugins/services/egress/cage.ts";
import { canary, createWitness } from "./egress-canary.ts";
import { echo, egress, serve } from "./egress-setup.ts";

async function caged(
  permissions: NonNullable<Manifest["permissions"]>,
  granted: () => unknown = () => undefined,
) {
  const server = await serve(echo);
  const witness = createWitness();
  const guard = egress({ log: witness.log });
  const outside = createTestContext({
    id: "weather",
    config: { baseUrl: server.url, key: "secret:weather.key" },
    secrets: { "weather.key": canary, "weather.other": "another-canary" },
  });
  let moved = 0;
  const context = cage(outside.context, {
    egress: () => Promise.resolve(guard),
    manifest: {
      id: "weather",
      name: "Weather",
      description: "Weather.",
      runtime: "wasm",
      entry: "plugin.wasm",
      contributes: {},
      permissions,
    },
    granted,
    onBytes: (sent, received) => (moved += sent + received),
  });
  return { ...server, outside, context, witness, moved: () => moved };
}

test("a caged plugin works with a key that it never has", async () => {
  const { context, url, witness, moved } = await caged({
    net: ["config:baseUrl"],
    secrets: [{ name: "weather.key", hosts: ["config:baseUrl"] }, "weather.other"],
  });
  const { key } = context.config as { key: string };
  const handle = await context.secrets.resolve(key);
  expect(handle).toBe(await context.secrets.get("weather.key"));
  expect(await context.secrets.resolve("plain text")).toBe("plain text");
  witness.keep([context.config, handle]);
  const text = await witness.answer(
    await context.fetch(`${url}/?key=${handle}`, { headers: { "x-key": handle } }),
  );
  expect(JSON.parse(text)).toMatchObject({ url: `/?key=${handle}`, headers: { "x-key": handle } });
  expect(moved()).toBeGreaterThan(100);
  expect(await context.secrets.verify("weather.key", { equals: canary })).toBe(true);
  // Named without hosts: good for a signature, and for nothing that leaves.
  const other = await context.secrets.get("weather.other");
  expect(await witness.failure(context.fetch(url, { headers: { "x-key": other } }))).toMatchObject({
    code: "EGRESS_DENIED",
    details: { secret: "weather.other" },
  });
  const signature = await context.secrets.sign("weather.other", { hmac: "sha256", data: "x" });
  expect(signature).toMatch(/^[0-9a-f]{64}$/);
  witness.clean();
  witness.clean("another-canary");
});

test("what the operator grants later counts with the next request, and ends with the plugin", async () => {
  let lines: readonly string[] = [];
  const { context, url, port, outside, witness } = await caged({}, () => lines);
  await witness.failure(context.fetch(url));
  lines = [`127.0.0.1:${port}`];
  expect((await context.fetch(url)).status).toBe(200);
  await outside[Symbol.asyncDispose]();
  await expect(context.fetch(url)).rejects.toMatchObject({ name: "AbortError" });
});

test("the handle of one life means nothing in the next", async () => {
  const permissions = {
    net: ["config:baseUrl"],
    secrets: [{ name: "weather.key", hosts: ["config:baseUrl"] }],
  };
  const first = await caged(permissions);
  const second = await caged(permissions);
  const old = await first.context.secrets.get("weather.key");
  const error = await second.witness.failure(second.context.fetch(`${second.url}/${old}`));
  expect(error.message).toContain("a secret that it was not given");
  second.witness.clean();
});
