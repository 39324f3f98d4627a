import { type TProperties, Type } from "typebox";

/** A section that is complete even when the file does not mention it. */
const section = <Properties extends TProperties>(
  properties: Properties,
  options: { description?: string } = {},
) =>
  Type.Object(properties, {
    ...options,
    default: Object.fromEntries(
      Object.entries(properties).flatMap(([key, schema]) =>
        "default" in schema ? [[key, schema.default]] : [],
      ),
    ),
  });

const strings = (description: string) => Type.Array(Type.String(), { default: [], description });
const flag = (value: boolean, description: string) => Type.Boolean({ default: value, description });
const optionalStrings = (description: string) => Type.Optional(Type.Array(Type.String(), { description }));
const secret = (description: string) => Type.Optional(Type.String({ writeOnly: true, description }));
const positive = (value: number, description: string) =>
  Type.Integer({ minimum: 1, maximum: 2_147_483_647, default: value, description });

const gateway = section({
  mode: Type.Enum(["local", "remote"], {
    default: "local",
    description: "Whether this machine runs the gateway or only talks to one.",
  }),
  port: Type.Integer({ minimum: 0, maximum: 65_535, default: 18_789 }),
  bind: Type.Enum(["loopback", "lan", "tailnet", "auto", "custom"], {
    default: "loopback",
    description: "Which addresses of this machine accept connections.",
  }),
  customBindHost: Type.Optional(Type.String({ description: 'The address to listen on with bind "custom".' })),
  auth: section({
    mode: Type.Enum(["token", "password", "trusted-proxy", "none"], { default: "token" }),
    token: secret("Whoever has it controls the assistant."),
    password: secret('Asked for with mode "password".'),
    allowTailscale: flag(false, "People of the tailnet come in by their Tailscale login, without a secret."),
    trustedProxy: Type.Optional(
      Type.Object({
        userHeader: Type.Optional(
          Type.String({ description: "The header in which the proxy says who it is." }),
        ),
        requiredHeaders: optionalStrings("Headers that must be there as well."),
        allowUsers: optionalStrings("Who may come in; empty means everybody the proxy lets through."),
      }),
    ),
    rateLimit: section({
      maxAttempts: positive(10, "Failures of one address before it is locked out."),
      windowMs: positive(60_000, "Time in which they count."),
      lockoutMs: positive(300_000, "How long the lock-out lasts."),
      exemptLoopback: flag(
        true,
        "Programs on this machine are never locked out; web pages in its browser are.",
      ),
    }),
  }),
  trustedProxies: strings("Addresses or CIDR ranges whose forwarding headers are believed."),
  controlUi: section({
    enabled: flag(true, "Serve the Control UI on the gateway's port."),
    allowedOrigins: strings("Origins of web pages that may connect, besides the gateway's own."),
    allowInsecureAuth: flag(false, "A Control UI on this machine needs no device identity."),
    dangerouslyDisableDeviceAuth: flag(false, "No Control UI needs a device identity."),
  }),
  tls: section({
    enabled: flag(false, "Serve https and wss."),
    autoGenerate: flag(true, "Make a certificate when none is named."),
    certPath: Type.Optional(Type.String({ description: "PEM file of the certificate." })),
    keyPath: Type.Optional(Type.String({ description: "PEM file of its private key." })),
    caPath: Type.Optional(
      Type.String({ description: "PEM file of the certificates between it and its authority." }),
    ),
  }),
  reload: section({
    debounceMs: Type.Integer({
      minimum: 0,
      maximum: 60_000,
      default: 300,
      description: "Quiet time after a change of the file before it is read.",
    }),
  }),
  remote: Type.Optional(
    Type.Object({
      url: Type.Optional(Type.String({ description: "wss://host:port, or ws:// on this machine." })),
      token: secret("The other gateway's token."),
      password: secret("The other gateway's password."),
      tlsFingerprint: Type.Optional(
        Type.String({ description: "SHA-256 of the certificate it must show, in hex." }),
      ),
    }),
  ),
});

const session = section({
  scope: Type.Enum(["per-sender", "global"], { default: "per-sender" }),
  dmScope: Type.Enum(["main", "per-peer", "per-channel-peer", "per-account-channel-peer"], {
    default: "per-channel-peer",
    description: "Which direct messages share a conversation.",
  }),
  mainKey: Type.String({ minLength: 1, default: "main" }),
  identityLinks: Type.Record(Type.String(), Type.Array(Type.String()), {
    default: {},
    description: "People and their addresses on several channels.",
  }),
});

const tools = section({
  profile: Type.Enum(["minimal", "coding", "messaging", "full"], { default: "full" }),
  allow: optionalStrings("Only these tools and groups of tools."),
  alsoAllow: optionalStrings("These as well, on top of the profile."),
  deny: strings("Never these tools; wins over everything else."),
});

const pluginEntry = Type.Object({
  enabled: Type.Optional(Type.Boolean()),
  config: Type.Optional(Type.Object({}, { additionalProperties: true })),
  runtime: Type.Optional(
    Type.Enum(["wasm", "worker", "in-process"], {
      description: "Where it runs; written by `rclaw plugin trust` and `isolate`.",
    }),
  ),
  limits: Type.Optional(
    Type.Record(Type.String(), Type.Integer({ minimum: 1 }), {
      description: "Budgets of a caged plugin, over those of its manifest.",
    }),
  ),
  grants: Type.Optional(
    Type.Object({
      net: Type.Optional(
        Type.Array(
          Type.String({
            pattern: String.raw`^(?:\*|(?:\*\.)?(?:\[[0-9a-fA-F:.]+\]|[^:\[\]/@?#\s*]+)(?::\d{1,5})?)$`,
          }),
          {
            description:
              "Hosts it may reach besides the ones its manifest names, as api.example.org or 127.0.0.1:8080.",
          },
        ),
      ),
    }),
  ),
});

/**
 * The kernel's own keys. What plugins own (`channels.telegram`, `agents`, ...) is
 * only named here as far as the kernel reads it; their manifests have the schemas.
 */
export const configSchema = Type.Object({
  gateway,
  session,
  tools,
  agents: Type.Optional(
    Type.Object(
      {
        defaults: Type.Optional(
          Type.Object({ workspace: Type.Optional(Type.String()) }, { additionalProperties: true }),
        ),
      },
      { additionalProperties: true },
    ),
  ),
  messages: section({
    groupChat: section({
      mentionPatterns: strings("Regular expressions that count as naming the assistant in a group."),
    }),
  }),
  commands: section({
    ownerAllowFrom: Type.Array(Type.Union([Type.String(), Type.Number()]), {
      default: [],
      description: 'Who owns this assistant, as "telegram:123456789".',
    }),
  }),
  plugins: section({
    enabled: flag(true, "False switches every plugin off."),
    allow: optionalStrings("Only these plugins."),
    deny: strings("Never these plugins; wins over everything else."),
    entries: Type.Record(Type.String(), pluginEntry, { default: {} }),
  }),
  channels: Type.Record(Type.String(), Type.Unknown(), { default: {} }),
  models: section({ providers: Type.Record(Type.String(), Type.Unknown(), { default: {} }) }),
  logging: section({
    level: Type.Enum(["silent", "fatal", "error", "warn", "info", "debug", "trace"], { default: "info" }),
    file: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Boolean()], {
        description: "Where the log is written; true is the usual place, false writes it to stderr.",
      }),
    ),
  }),
  egress: section({
    allowCidrs: strings("Private address ranges that plugins may reach besides the ones they name."),
  }),
});
