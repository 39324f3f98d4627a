import { Type } from "typebox";

const name = (pattern: string, description: string) => Type.String({ pattern, description });
const names = (pattern: string, description: string) =>
  Type.Array(name(pattern, description), { uniqueItems: true, maxItems: 256 });
const strict = { additionalProperties: false } as const;
/** One line for people: a line break or a control character could make it look like something rclaw says. */
const oneLine = "^[^\\p{Cc}\\p{Zl}\\p{Zp}\\u202A-\\u202E\\u2066-\\u2069]+$";

const scope = Type.Union([
  Type.Literal("operator.admin"),
  Type.Literal("operator.read"),
  Type.Literal("operator.write"),
  Type.Literal("operator.approvals"),
  Type.Literal("operator.pairing"),
]);

const hook = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z_]+$" }),
    filter: Type.Optional(
      Type.Record(Type.String(), Type.Array(Type.String()), {
        description:
          "Fields of the hook's event or context and the values that apply; other events never reach the plugin.",
      }),
    ),
  },
  strict,
);

const entryFile = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "Relative to the manifest's package root.",
});

/** Budgets of a caged plugin, when the usual ones do not do; the operator has the last word. */
const limits = Type.Object(
  Object.fromEntries(
    [
      "memoryBytes",
      "tableEntries",
      "loadMs",
      "callMs",
      "entryMs",
      "resultBytes",
      "hostCalls",
      "logLines",
      "hostBytes",
    ].map((key) => [key, Type.Optional(Type.Integer({ minimum: 1, maximum: 4_294_967_295 }))]),
  ),
  strict,
);

/** A scope is an operator's. A node has none: its methods are named by its role. */
const methodAccess = Type.Union([
  scope,
  Type.Object({ role: Type.Literal("node") }, strict),
  Type.Object({ role: Type.Literal("any"), scope }, strict),
]);

/** What a plugin adds. Activation follows from it: nothing here costs anything before it is used. */
const contributes = Type.Object(
  {
    tools: Type.Optional(names("^[a-z][a-z0-9_]{0,63}$", "Tool names.")),
    channels: Type.Optional(names("^[a-z][a-z0-9-]{0,63}$", "Channel ids.")),
    providers: Type.Optional(names("^[a-z][a-z0-9-]{0,63}$", "Provider ids.")),
    methods: Type.Optional(
      Type.Record(Type.String({ pattern: "^[a-zA-Z][a-zA-Z0-9.-]{0,63}$" }), methodAccess, {
        description: "Gateway methods and the scope each one needs, or { role } for those of nodes.",
      }),
    ),
    routes: Type.Optional(names("^(GET|POST|PUT|DELETE) /[A-Za-z0-9_./-]*\\*?$", "HTTP routes.")),
    hooks: Type.Optional(
      Type.Array(Type.Union([Type.String({ pattern: "^[a-z_]+$" }), hook]), { maxItems: 64 }),
    ),
    capabilities: Type.Optional(
      names("^[a-z][a-z0-9-]{0,63}$", "What clients of protocol 4 may count on, as the greeting tells them."),
    ),
    services: Type.Optional(
      names(
        "^[a-z][a-z0-9-]{0,63}$",
        "Parts of the gateway itself; only what ships with rclaw may offer them.",
      ),
    ),
    commands: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[a-z][a-z0-9-]{0,31}$" }),
        Type.String({ maxLength: 120, pattern: oneLine }),
        {
          description: "Commands of the rclaw program with a one-line summary.",
        },
      ),
    ),
  },
  strict,
);

const host = Type.String({ minLength: 1, maxLength: 253 });
const netGrant = Type.Object(
  {
    host,
    methods: Type.Optional(
      Type.Array(Type.String({ pattern: "^[A-Z]{1,20}$" }), {
        minItems: 1,
        maxItems: 16,
        description: "In upper case; without it every method.",
      }),
    ),
    paths: Type.Optional(
      Type.Array(Type.String({ maxLength: 256, pattern: "^/[^?#\\\\\\s]*$" }), {
        minItems: 1,
        maxItems: 64,
        description:
          'Paths such as "/v1/*": a star at the end stands for all that follows, elsewhere for text without a slash.',
      }),
    ),
  },
  strict,
);

const secretName = name(
  "^[a-z][a-z0-9-]*(\\.([A-Za-z0-9_-]+|\\*))*$",
  "A secret's name, or weather.* for all below.",
);
const secretBinding = Type.Object(
  {
    name: secretName,
    hosts: Type.Array(host, {
      minItems: 1,
      maxItems: 64,
      description: "Where a caged plugin may send it. A host without a port means https.",
    }),
  },
  strict,
);

/** What a plugin may touch. What is not here is refused; the default is nothing. */
const permissions = Type.Object(
  {
    net: Type.Optional(
      Type.Array(Type.Union([host, netGrant]), {
        maxItems: 64,
        description:
          'Hosts: "api.example.org", "*.example.org", "127.0.0.1:11434", or "config:baseUrl" for the host of a URL in the plugin\'s own configuration; as { host, methods, paths } where less is needed.',
      }),
    ),
    env: Type.Optional(names("^[A-Z][A-Z0-9_]*$", "Environment variables it may read.")),
    secrets: Type.Optional(
      Type.Array(Type.Union([secretName, secretBinding]), {
        uniqueItems: true,
        maxItems: 256,
        description: "Secrets it may use, and the hosts they are for.",
      }),
    ),
    tools: Type.Optional(names("^(\\*|[a-z][a-z0-9_]{0,63})$", "Tools it may call.")),
    providers: Type.Optional(names("^(\\*|[a-z][a-z0-9-]{0,63})$", "Providers it may ask.")),
    channels: Type.Optional(names("^(\\*|[a-z][a-z0-9-]{0,63})$", "Channels it may send through.")),
    methods: Type.Optional(names("^(\\*|[a-zA-Z][a-zA-Z0-9.-]{0,63})$", "Gateway methods it may call.")),
    events: Type.Optional(names("^[a-z][a-z0-9.-]{0,63}$", "Gateway events it may send.")),
    sessions: Type.Optional(Type.Union([Type.Literal("none"), Type.Literal("read"), Type.Literal("write")])),
    clients: Type.Optional(
      Type.Boolean({ description: "It may see who is connected, and hear what they are told." }),
    ),
    process: Type.Optional(Type.Boolean({ description: "It may start programs." })),
    limits: Type.Optional(limits),
  },
  strict,
);

/**
 * The manifest: twelve keys at most, readable without running code. A built-in's
 * stands in `manifests/`, anybody else's is `rclaw.plugin.json5` in the package root.
 */
export const manifestSchema = Type.Object(
  {
    id: Type.String({ pattern: "^[a-z][a-z0-9-]{0,63}$" }),
    name: Type.String({ minLength: 1, maxLength: 64, pattern: oneLine }),
    description: Type.String({ minLength: 1, maxLength: 200, pattern: oneLine }),
    version: Type.Optional(Type.String({ pattern: "^\\d+\\.\\d+\\.\\d+" })),
    runtime: Type.Union([Type.Literal("in-process"), Type.Literal("worker"), Type.Literal("wasm")]),
    entry: Type.Union([entryFile, Type.Object({ js: entryFile, wasm: entryFile }, strict)], {
      description: "One file, or a script and the WASM artefact made from it: the operator chooses.",
    }),
    contributes,
    permissions: Type.Optional(permissions),
    configSchema: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description:
          "JSON Schema of the plugin's own configuration. A string marked writeOnly is a secret: asked for hidden, stored apart, redacted.",
      }),
    ),
    configPath: Type.Optional(
      Type.String({
        pattern: "^[a-zA-Z][a-zA-Z0-9.-]*$",
        description:
          "Where its configuration stands, when not at the usual place: channels.<id>, models.providers.<id>, tools.<id> or plugins.entries.<id>.config.",
      }),
    ),
    engines: Type.Optional(Type.Object({ sdk: Type.String() }, strict)),
    activation: Type.Optional(
      Type.Array(Type.Union([Type.Literal("startup"), Type.Literal("node"), Type.Literal("opt-in")]), {
        uniqueItems: true,
        maxItems: 3,
        description:
          "startup: runs by itself, as a clock does. node: from the first node that connects. opt-in: built in, but off until it is switched on or has settings.",
      }),
    ),
  },
  strict,
);
