import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { expect, test } from "vitest";
import { ruleFindings } from "../../../plugins/services/config/rules.ts";

const token = "gateway-token-0123456789";
const about = (hooks: unknown, env = {}) => {
  const config = withDefaults(configSchema as never, { gateway: { auth: { token } }, hooks });
  return ruleFindings(config, env)
    .filter(({ path: [section] }) => section === "hooks")
    .map(
      ({ path, message, isWarning }) =>
        `${isWarning ? "warning " : ""}${path.slice(1).join(".")}: ${message}`,
    );
};
const own = { enabled: true, token: "hook-token-0123456789" };

test("hooks that are in order, or switched off, are not talked about", () => {
  expect(about(undefined)).toEqual([]);
  expect(about(own)).toEqual([]);
  expect(about({ token })).toEqual([]);
  expect(about({ ...own, path: "/hooks/", allowedSessionKeyPrefixes: ["HOOK:"] })).toEqual([]);
  for (const odd of [5, [], "x", { ...own, mappings: [null, 5], allowedSessionKeyPrefixes: 5, path: {} }])
    expect(about(odd)).toEqual([]);
});

test("SEC-054 the gateway's secrets are no hook's token, wherever they come from", () => {
  const words = /^token: is the gateway's own secret/;
  expect(about({ ...own, token })[0]).toMatch(words);
  expect(about({ ...own, token: ` ${token} ` })[0]).toMatch(words);
  expect(about(own, { RUSTY_CLAW_GATEWAY_TOKEN: own.token })[0]).toMatch(words);
  expect(about({ enabled: true })[0]).toMatch(/^token: hooks.enabled requires hooks.token/);
});

test("prefixes that would refuse every hook are a mistake", () => {
  expect(about({ ...own, allowedSessionKeyPrefixes: ["agent:"] })).toEqual([
    "allowedSessionKeyPrefixes: must include 'hook:' when hooks.defaultSessionKey is unset",
  ]);
  expect(about({ ...own, defaultSessionKey: "main", allowedSessionKeyPrefixes: ["hook:"] })).toEqual([
    "defaultSessionKey: must match hooks.allowedSessionKeyPrefixes",
  ]);
});

test("what is not done is warned about", () => {
  expect(about({ ...own, path: "/incoming", mappings: [{}, { transform: { module: "x.js" } }] })).toEqual([
    "warning path: webhooks are always below /hooks; change the address at the sender",
    "warning mappings.1.transform: transform modules are not run: hooks of this mapping are refused; use a template",
  ]);
});
