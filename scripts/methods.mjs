// Writes docs/methods.md from the built gateway: what it answers to methods.list is the only source there is.
// Run with: npm run docs
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";

const root = path.resolve(import.meta.dirname, "..");
const token = "only-for-the-reference";

const intro = `# Methods

Every request that the gateway answers, as it says itself (\`methods.list\`). This page is generated: \`npm run docs\`.

- **Who** may call it: the scope an operator needs, or the role. \`operator.admin\` covers every scope, \`operator.write\`
  covers \`operator.read\`. A node may only call what names its role.
- **Since** which release OpenClaw has it; _rclaw_ marks our own.
- **By**: the part or plugin that answers. One that is switched off takes its methods with it.
- The parameters follow. A question mark means that it can be left out, numbers behind a type are its least and most,
  three dots mean that others are taken as well, and _anything_ that the method looks at it itself.
`;

export function render(methods) {
  const groups = new Map();
  for (const method of methods) {
    const group = method.name.split(".")[0];
    groups.set(group, [...(groups.get(group) ?? []), method]);
  }
  const sections = [...groups].map(([group, list]) => `## ${group}\n\n${list.map(describe).join("\n")}\n`);
  return [intro, ...sections].join("\n");
}

function describe({ name, scope, role, owner, since, params }) {
  const who =
    role === "operator" ? `\`${scope ?? "anybody"}\`` : role === "any" ? "everybody" : `role \`${role}\``;
  const by = owner.replace(/^kernel /, "");
  const from = since === undefined ? "" : since === "rclaw" ? ", rclaw" : `, since ${since}`;
  return `- \`${name}\`: ${who}${from}, by ${by}\n  - ${signature(params)}`;
}

function signature(params) {
  if (params === undefined) return "anything";
  const text = typeOf(params);
  return text === "{}" ? "no parameters" : wrap(`\`${text}\``);
}

/** As wide as the other pages; a line break within code is a space. */
function wrap(text) {
  const lines = [""];
  for (const word of text
    .split(/(?<=,) /)
    .flatMap((part) => (part.length < 110 ? part : part.split(/(?<=\|) /)))) {
    const line = lines.at(-1);
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + word.length < 110) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n    ");
}

function typeOf(schema) {
  if ("const" in schema) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((item) => JSON.stringify(item)).join(" | ");
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) return [...new Set(branches.map(typeOf))].join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type })).join(" | ");
  switch (schema.type) {
    case "object":
      return objectOf(schema);
    case "array":
      return listOf(schema);
    case "string":
    case "integer":
    case "number":
      return `${schema.type}${rangeOf(schema)}`;
    case undefined:
      return "anything";
    default:
      return schema.type;
  }
}

function listOf({ items }) {
  const inner = items === undefined ? "anything" : typeOf(items);
  return inner.includes(" | ") ? `(${inner})[]` : `${inner}[]`;
}

function objectOf({ properties = {}, required = [], additionalProperties: others, patternProperties = {} }) {
  const named = Object.entries(properties).map(
    ([key, schema]) => `${key}${required.includes(key) ? "" : "?"}: ${typeOf(schema)}`,
  );
  const [any = typeof others === "object" ? others : undefined] = Object.values(patternProperties);
  if (any !== undefined) named.push(`[name]: ${typeOf(any)}`);
  else if (others === true) named.push("...");
  return named.length === 0 ? "{}" : `{ ${named.join(", ")} }`;
}

function rangeOf({ minimum, maximum, minLength, maxLength }) {
  const from = minimum ?? (minLength === 1 ? undefined : minLength);
  const to = maximum ?? maxLength;
  if (from === undefined && to === undefined) return "";
  return ` ${from ?? ""}..${to ?? ""}`;
}

/** Asks a gateway of its own, on a state folder that nobody keeps. */
async function askForMethods() {
  const stateDir = mkdtempSync(path.join(tmpdir(), "rclaw-methods-"));
  const gateway = spawn(
    process.execPath,
    [path.join(root, "dist/rclaw.cjs"), "gateway", "--port", "0", "--json"],
    {
      env: {
        PATH: process.env.PATH,
        HOME: stateDir,
        RUSTY_CLAW_STATE_DIR: stateDir,
        RUSTY_CLAW_GATEWAY_TOKEN: token,
      },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  try {
    const { url } = await firstLine(gateway);
    return await request(url);
  } finally {
    gateway.kill("SIGKILL");
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 });
  }
}

function firstLine(gateway) {
  return new Promise((resolve, reject) => {
    let text = "";
    gateway.stdout.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    gateway.once("close", () => reject(new Error("the gateway ended; build it first: npm run build")));
  });
}

function request(url) {
  const socket = new WebSocket(url);
  const send = (id, method, params) => socket.send(JSON.stringify({ type: "req", id, method, params }));
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("message", (/** @type {Buffer} */ data) => {
      const { event, id, ok, payload, error } = JSON.parse(data.toString());
      if (event === "connect.challenge") {
        const client = { id: "cli", version: "0.0.0", platform: process.platform, mode: "cli" };
        const scopes = ["operator.read"];
        send("1", "connect", { minProtocol: 3, maxProtocol: 4, client, scopes, auth: { token } });
      }
      if (id !== undefined && !ok) reject(new Error(error.message));
      else if (id === "1") send("2", "methods.list", {});
      else if (id === "2") resolve(payload.methods);
    });
  }).finally(() => socket.terminate());
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(path.join(root, "docs/methods.md"), render(await askForMethods()));
}
