import type { KeyPath } from "@rclaw/plugin-sdk/services/config";
import { isIP } from "node:net";
import type { Static } from "typebox";
import type { configSchema } from "@rclaw/plugin-sdk/services/config.schema";
import { isStrayGroup } from "@rclaw/plugin-sdk/services/tool-groups";
import type { Finding } from "./sources.ts";
import { isObject } from "./values.ts";

const placeholders: ReadonlySet<string> = new Set(["", "undefined", "null"]);
const shortestSecret = 16;

/** What a schema cannot say: rules between keys, and values of the right type that are still wrong. */
export function ruleFindings(config: unknown, env: NodeJS.ProcessEnv): Finding[] {
  const { gateway, messages, egress, session, tools } = config as Static<typeof configSchema>;
  return [
    ...authFindings(gateway, env),
    ...bindFindings(gateway),
    ...tlsFindings(gateway),
    ...remoteFindings(gateway),
    ...linkFindings(session.identityLinks),
    ...originFindings(gateway),
    ...toolFindings(tools),
    ...hookFindings(config, env),
    ...gateway.trustedProxies.flatMap((range, index) =>
      isRange(range)
        ? []
        : [
            {
              path: ["gateway", "trustedProxies", index],
              message: "is not an address or CIDR range; it matches nothing",
              isWarning: true,
            },
          ],
    ),
    ...egress.allowCidrs.flatMap((range, index) =>
      isRange(range)
        ? []
        : [
            {
              path: ["egress", "allowCidrs", index],
              message: 'must be an address or a CIDR range such as "192.168.1.0/24"',
            },
          ],
    ),
    ...messages.groupChat.mentionPatterns.flatMap((pattern, index) => {
      const path = ["messages", "groupChat", "mentionPatterns", index];
      return isPattern(pattern)
        ? []
        : [{ path, message: "is not a valid regular expression; it matches nothing", isWarning: true }];
    }),
  ];
}

function toolFindings(tools: Static<typeof configSchema>["tools"]): Finding[] {
  return (["allow", "alsoAllow", "deny"] as const).flatMap((list) =>
    (tools[list] ?? []).flatMap((entry, index) =>
      isStrayGroup(entry)
        ? [
            {
              path: ["tools", list, index],
              message: `there is no ${entry}; it matches nothing`,
              isWarning: true,
            },
          ]
        : [],
    ),
  );
}

/** Of a plugin's section, whose own schema may not have been met: nothing here is of the type that it should be. */
function hookFindings(config: unknown, env: NodeJS.ProcessEnv): Finding[] {
  const { hooks, gateway } = config as Static<typeof configSchema> & { readonly hooks?: unknown };
  if (!isObject(hooks) || hooks["enabled"] !== true) return [];
  const text = (value: unknown): string => (typeof value === "string" ? value.trim() : "");
  const token = text(hooks["token"]);
  const at = (key: string, message: string, isWarning = false): Finding => ({
    path: ["hooks", key],
    message,
    ...(isWarning && { isWarning }),
  });
  const { auth } = gateway;
  const own = [env["RUSTY_CLAW_GATEWAY_TOKEN"], auth.token, auth.password].filter(Boolean);
  const isPath = /^\/?hooks\/*$/.test(text(hooks["path"]) || "hooks");
  const mappings = Array.isArray(hooks["mappings"]) ? (hooks["mappings"] as unknown[]) : [];
  return [
    ...(token === "" ? [at("token", "hooks.enabled requires hooks.token: what senders have to show")] : []),
    ...(own.includes(token)
      ? [
          at(
            "token",
            "is the gateway's own secret; whoever sends a webhook must not be able to control the gateway",
          ),
        ]
      : []),
    ...(isPath
      ? []
      : [at("path", "webhooks are always below /hooks; change the address at the sender", true)]),
    ...prefixFindings(text(hooks["defaultSessionKey"]), hooks["allowedSessionKeyPrefixes"]),
    ...mappings.flatMap((mapping, index) =>
      isObject(mapping) && mapping["transform"] !== undefined
        ? [
            {
              path: ["hooks", "mappings", index, "transform"],
              message: "transform modules are not run: hooks of this mapping are refused; use a template",
              isWarning: true,
            },
          ]
        : [],
    ),
  ];
}

function prefixFindings(key: string, prefixes: unknown): Finding[] {
  const list = Array.isArray(prefixes) ? prefixes.map((prefix) => String(prefix).trim().toLowerCase()) : [];
  const allowed = list.filter((prefix) => prefix !== "");
  if (allowed.length === 0) return [];
  const fits = (text: string): boolean => allowed.some((prefix) => text.toLowerCase().startsWith(prefix));
  if (fits(key === "" ? "hook:example" : key)) return [];
  return key === ""
    ? [
        {
          path: ["hooks", "allowedSessionKeyPrefixes"],
          message: "must include 'hook:' when hooks.defaultSessionKey is unset",
        },
      ]
    : [{ path: ["hooks", "defaultSessionKey"], message: "must match hooks.allowedSessionKeyPrefixes" }];
}

type GatewayConfig = Static<typeof configSchema>["gateway"];

function authFindings(gateway: GatewayConfig, env: NodeJS.ProcessEnv): Finding[] {
  const { auth, bind, mode } = gateway;
  if (mode === "remote") return [];
  if (auth.mode === "none") {
    const path = ["gateway", "auth", "mode"];
    if (bind === "loopback")
      return [{ path, message: "any program on this machine controls the assistant", isWarning: true }];
    return [
      { path, message: `"none" lets anybody in; with gateway.bind "${bind}" use "token" or "password"` },
    ];
  }
  if (auth.mode === "trusted-proxy") return proxyFindings(gateway);
  // The environment's token wins over the file's.
  const override = auth.mode === "token" ? env["RUSTY_CLAW_GATEWAY_TOKEN"] : undefined;
  return secretFindings(["gateway", "auth", auth.mode], override || auth[auth.mode], auth.mode);
}

function proxyFindings({ auth, trustedProxies }: GatewayConfig): Finding[] {
  const path = ["gateway", "auth", "mode"];
  const needs = (key: string, what: string): Finding[] => [
    { path, message: `"trusted-proxy" needs ${key}, ${what}`, isWarning: true },
  ];
  return [
    ...(trustedProxies.length > 0 ? [] : needs("gateway.trustedProxies", "the addresses of the proxy")),
    ...(auth.trustedProxy?.userHeader
      ? []
      : needs("gateway.auth.trustedProxy.userHeader", "the header that says who it is")),
  ];
}

function secretFindings(path: KeyPath, value: string | undefined, mode: string): Finding[] {
  if (value === undefined) {
    const message = `gateway.auth.mode is "${mode}" but there is none: nobody can connect until it is set`;
    return [{ path, message, isWarning: true }];
  }
  if (placeholders.has(value.trim().toLowerCase())) {
    return [{ path, message: `is a placeholder, not a ${mode}; set a long random one` }];
  }
  if (value.length >= shortestSecret) return [];
  return [
    {
      path,
      message: `is shorter than ${shortestSecret} characters and can be guessed; set a long random one`,
      isWarning: true,
    },
  ];
}

function originFindings({ controlUi }: GatewayConfig): Finding[] {
  return controlUi.allowedOrigins.flatMap((origin, index) => {
    if (/^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+\/?$/i.test(origin)) return [];
    const message = 'must be an origin such as "https://chat.example.org"; there is no wildcard';
    return [{ path: ["gateway", "controlUi", "allowedOrigins", index], message }];
  });
}

function bindFindings({ bind, customBindHost }: GatewayConfig): Finding[] {
  if (bind !== "custom" || customBindHost) return [];
  const message = '"custom" needs gateway.customBindHost, the address to listen on';
  return [{ path: ["gateway", "bind"], message }];
}

function tlsFindings({ tls }: GatewayConfig): Finding[] {
  const { enabled, autoGenerate, certPath, keyPath } = tls;
  if (!enabled || (certPath && keyPath)) return [];
  const path = ["gateway", "tls"];
  if (certPath || keyPath) return [{ path, message: "needs both, certPath and keyPath, or neither" }];
  if (autoGenerate) return [];
  return [{ path, message: "is enabled, so it needs certPath and keyPath, or autoGenerate" }];
}

/**
 * Warnings, because a configuration that is put aside for them would be replaced by one that
 * may name this machine: whoever wants to use the other gateway is refused then.
 */
function remoteFindings({ mode, remote = {} }: GatewayConfig): Finding[] {
  if (mode !== "remote") return [];
  const at = (key: string, message: string): Finding => ({
    path: ["gateway", "remote", key],
    message,
    isWarning: true,
  });
  const { url, tlsFingerprint } = remote;
  return [
    ...(url ? [] : [at("url", 'gateway.mode is "remote", so every command needs it: wss://host:port')]),
    ...(tlsFingerprint === undefined || isFingerprint(tlsFingerprint)
      ? []
      : [
          at("tlsFingerprint", "must be the SHA-256 of a certificate: 64 hex digits, with colons or without"),
        ]),
  ];
}

function isFingerprint(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text.replace(/^sha-?256[:=]/i, "").replaceAll(/[:\s]/g, ""));
}

function linkFindings(links: Readonly<Record<string, readonly string[]>>): Finding[] {
  const owners = new Map<string, string>();
  return Object.entries(links).flatMap(([person, addresses]) =>
    addresses.flatMap((address, index): Finding[] => {
      const path = ["session", "identityLinks", person, index];
      const owner = owners.get(address.trim());
      if (owner === undefined) owners.set(address.trim(), person);
      if (!/^[^\s:]+:./.test(address.trim())) {
        const message = 'matches nobody; write the channel and the id, such as "telegram:123456789"';
        return [{ path, message, isWarning: true }];
      }
      if (owner === undefined || owner === person) return [];
      return [{ path, message: `belongs to "${owner}" already, and that counts`, isWarning: true }];
    }),
  );
}

function isRange(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "iu") instanceof RegExp;
  } catch {
    try {
      // Patterns written for OpenClaw need not be valid in Unicode mode.
      return new RegExp(text, "i") instanceof RegExp;
    } catch {
      return false;
    }
  }
}
