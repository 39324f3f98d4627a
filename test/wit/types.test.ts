import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { root, sourcesOf, typesOf, versions } from "./wit.ts";

const folder = path.join(root, "node_modules/.cache/wit-types", String(process.pid));
const compiler = path.join(root, "node_modules/typescript/bin/tsc");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * How a shape of the SDK is written in the WIT. What has no shape of its own (`unknown`, an open record) is the text of a JSON document;
 * a header is a record, not a pair; a case of an enum is kebab-case; an absent field and an undefined one are the
 * same. What is optional is marked rather than left optional, so that a field which only one side has never fits.
 */
const codec = `
type Optional<T> = { optional: T };
type Camel<T extends string> = T extends \`\${infer Head}-\${infer Tail}\` ? \`\${Head}\${Capitalize<Camel<Tail>>}\` : T;
type Coded<T> = unknown extends T ? string
  : T extends string ? Camel<T>
  : T extends number | boolean | undefined | null ? T
  : T extends Uint8Array ? "bytes"
  : T extends readonly [string, string] ? { name: string; value: string }
  : T extends readonly (infer Item)[] ? { list: Coded<Item> }
  : string extends keyof T ? string
  : { [Key in keyof T]-?: undefined extends T[Key] ? Optional<Coded<Exclude<T[Key], undefined>>> : Coded<T[Key]> };
/** A list of names that may grow: text in the WIT. */
type Open<T, Key extends keyof T> = Omit<T, Key> & { [K in Key]: string };
type Flat<T> = { [Key in keyof T]: T[Key] };
type Numbered<T> = Flat<Omit<T, "id">>;
type Fits<From, To> = [Coded<From>] extends [Coded<To>] ? true : never;
`;

/** Of the WIT, and of the SDK. */
const pairs: Readonly<Record<string, readonly [wit: string, sdk: string]>> = {
  "inbound-message": ["channels.InboundMessage", "channel.InboundMessage"],
  "outbound-message": ["channels.OutboundMessage", "channel.OutboundMessage"],
  "chat-type": ["channels.ChatType", 'channel.InboundMessage["chatType"]'],
  sent: ["channels.Sent", 'calls.Asked["channel.send"]["result"]'],
  "channel-account": ["channels.ChannelAccount", "channel.ChannelAccount"],
  "tool-context": ["types.ToolContext", "calls.ToolPlace"],
  "tool-spec": ["types.ToolSpec", 'calls.Offer["tools"][number]'],
  "tool-result": ["types.ToolResult", "tool.ToolResult"],
  "hook-spec": ["types.HookSpec", 'Open<calls.HookOffer, "name">'],
  "plugin-error": ["types.PluginError", 'Open<endpoint.WireError, "code">'],
  "reactor's plugin-error": ["types.PluginError", "boundary.PluginError"],
  header: ["types.Header", "boundary.Header"],
  redirect: ["types.Redirect", 'NonNullable<calls.HttpRequest["redirect"]>'],
  "log-level": ["types.LogLevel", 'calls.Verbs["log"]["params"]["level"]'],
  "http-request": ["Numbered<reactor.HttpRequest>", "calls.HttpRequest"],
  "http-head": ["Numbered<reactor.HttpHead>", "calls.HttpHead"],
  "http.request": ["http.Request", 'Flat<calls.Verbs["http.send"]["params"]>'],
  "http.response": ["http.Response", 'Flat<calls.Verbs["http.send"]["result"]>'],
  "files.entry": ["files.Entry", 'calls.Verbs["files.list"]["result"][number]'],
  usage: ["providers.Usage", "provider.Usage"],
  "model-info": ["providers.ModelInfo", "provider.ModelInfo"],
  "stop-reason": ["providers.StopReason", 'Extract<provider.Chunk, { type: "end" }>["stopReason"]'],
  readiness: ["providers.Readiness", 'calls.Asked["provider.ready"]["result"]'],
  "ws-data": ["reactor.WsData", "boundary.WsData"],
  event: ["reactor.Event", "boundary.ReactorEvent"],
  action: ["reactor.Action", "boundary.ReactorAction"],
};

const sdk = {
  boundary: "boundary/reactor",
  calls: "boundary/calls",
  channel: "channel",
  endpoint: "boundary/endpoint",
  provider: "provider",
  tool: "tool",
};
const generated = {
  types: "types",
  channels: "channel-data",
  providers: "provider-data",
  reactor: "reactor",
  http: "http",
  files: "files",
};

function assertions(): string {
  const lines = [
    ...Object.entries(sdk).map(
      ([name, file]) => `import type * as ${name} from ${JSON.stringify(`./plugin-sdk/${file}.ts`)};`,
    ),
    ...Object.entries(generated).map(
      ([name, file]) => `import type * as ${name} from "./interfaces/rclaw-plugin-${file}.js";`,
    ),
    codec,
  ];
  for (const [name, [wit, own]] of Object.entries(pairs)) {
    lines.push(`/* ${name}: SDK to WIT */ { const fits: Fits<${own}, ${wit}> = true; void fits; }`);
    lines.push(`/* ${name}: WIT to SDK */ { const fits: Fits<${wit}, ${own}> = true; void fits; }`);
  }
  return lines.join("\n");
}

interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Which shapes do not fit, with a field of one side changed if wanted. */
async function misfits(
  version: string,
  name: string,
  { wit, sdk: own }: { wit?: Change; sdk?: Change } = {},
) {
  const sources = sourcesOf(version);
  if (wit) sources.set(wit.file, changed(sources.get(wit.file) ?? "", wit));
  const place = path.join(folder, name.replaceAll(/\W+/g, "-"));
  mkdirSync(path.join(place, "interfaces"), { recursive: true });
  for (const world of ["reactor-plugin", "tool-and-hook-plugin"] as const)
    for (const [file, text] of await typesOf(sources, world)) writeFileSync(path.join(place, file), text);
  const text = `${assertions()}\nexport {};\n`;
  writeFileSync(path.join(place, "assertions.ts"), text);

  const copy = path.join(place, "plugin-sdk");
  cpSync(path.join(root, "plugin-sdk"), copy, {
    recursive: true,
    filter: (file) => !/[\\/](?:dist|node_modules|templates)$/.test(file),
  });
  if (own) {
    const file = path.join(copy, own.file);
    writeFileSync(file, changed(readFileSync(file, "utf8"), own));
  }
  const config = {
    extends: path.join(root, "tsconfig.base.json"),
    compilerOptions: { noEmit: true, declaration: false, sourceMap: false, types: ["node"] },
    files: ["assertions.ts"],
  };
  writeFileSync(path.join(place, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(path.join(place, "package.json"), '{"type":"module"}');
  const lines = text.split("\n");
  const { stdout } = spawnSync(process.execPath, [compiler, "-p", place, "--pretty", "false"], {
    encoding: "utf8",
  });
  return stdout
    .split("\n")
    .filter((line) => line.includes("error TS"))
    .map((line) => {
      const [, at] = /assertions\.ts\((\d+),/.exec(line) ?? [];
      const [, what] = /^\/\* (.*?) \*\//.exec(lines[Number(at) - 1] ?? "") ?? [];
      return what !== undefined && line.includes("'never'") ? what : line;
    });
}

function changed(text: string, { from, to }: Change): string {
  if (!text.includes(from)) throw new Error(`there is no ${from} to change`);
  return text.replace(from, to);
}

const newest = versions.at(-1) ?? "";

describe(`${newest} and the SDK`, () => {
  test("say the same in both directions", async () => {
    expect(await misfits(newest, "as it is")).toEqual([]);
  });

  test("differ when only the WIT has a field, optional or not", async () => {
    const field = {
      file: "data.wit",
      from: "peer-id: string,",
      to: "peer-id: string, extra: option<string>,",
    };
    expect(await misfits(newest, "wit", { wit: field })).toEqual(["inbound-message: SDK to WIT"]);
    const event = { file: "reactor.wit", from: "protocol: string,", to: "protocol: string, extra: u32," };
    expect(await misfits(newest, "event", { wit: event })).toEqual(["event: SDK to WIT"]);
  });

  test("differ when only the SDK has a field, optional or not", async () => {
    const field = {
      file: "channel.ts",
      from: "readonly replyTo?: string;",
      to: "readonly replyTo?: string; readonly extra?: string;",
    };
    expect(await misfits(newest, "sdk", { sdk: field })).toEqual(["outbound-message: WIT to SDK"]);
    const usage = {
      file: "provider.ts",
      from: "readonly cacheWrite: number;",
      to: "readonly cacheWrite: number; readonly extra: number;",
    };
    expect(await misfits(newest, "usage", { sdk: usage })).toEqual(["usage: WIT to SDK"]);
  });

  test("differ when one side has another case", async () => {
    const level = {
      file: "types.wit",
      from: "        error,\n    }\n}",
      to: "        error,\n        fatal,\n    }\n}",
    };
    expect(await misfits(newest, "level", { wit: level })).toContain("log-level: WIT to SDK");
  });
});
