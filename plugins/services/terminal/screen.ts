import { homedir } from "node:os";
import path from "node:path";
import type { StartScreen } from "@rclaw/plugin-sdk/services/terminal";
import { wrap } from "@rclaw/plugin-sdk/wrap";
import { look } from "./look.ts";

const label = 11;

/** What a person reads when the gateway is ready: where to go, what answers, and what to type next. */
export async function showStart({
  version,
  page,
  tlsFingerprint,
  call,
  configFile,
  stateDir,
  warnings,
}: StartScreen): Promise<void> {
  const { colour, width } = look();
  const paint = (code: string, text: string): string => (colour ? `\u001B[${code}m${text}\u001B[0m` : text);
  const row = (name: string, value: string, code = "2"): string =>
    `  ${paint(code, name.padEnd(label - 2))}${wrap(value, width, " ".repeat(label))}`;
  const next = (command: string, what: string): string => `  ${paint("1", command.padEnd(32))}${what}`;
  const lines = [
    "",
    `${paint("1", "rclaw")} ${version} is ready. Open this page and say hello:`,
    "",
    // A line of its own: with its token it just fits into 80 columns, and is copied as a whole.
    `  ${paint("4;36", page)}`,
    "",
    ...(tlsFingerprint === undefined ? [] : [row("TLS", `SHA-256 ${tlsFingerprint}`)]),
    row("Model", await modelNow(call)),
    row("Config", short(configFile)),
    row("Data", short(stateDir)),
    ...warnings.map((warning) => row("Warning", warning, "33")),
    "",
    `On the page, try: ${paint("1", "list the files in the workspace")}`,
    "In another terminal, from this folder:",
    next("npx rclaw agent", "chat here"),
    next("npx rclaw plugin add telegram", "talk to it from Telegram"),
    next("npx rclaw status", "see what runs and what is not well"),
    "",
    paint("2", "Ctrl-C stops the gateway."),
    "",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** As people write it, where it is theirs. */
function short(file: string): string {
  const home = homedir();
  return file === home || file.startsWith(home + path.sep) ? `~${file.slice(home.length)}` : file;
}

async function modelNow(call: StartScreen["call"]): Promise<string> {
  try {
    const { provider, model, reason } = (await call("models.default", {})) as {
      readonly provider: string;
      readonly model: string;
      readonly reason: string;
    };
    return `${provider}/${model}${reason ? ` (${reason})` : ""}`;
  } catch (error) {
    return `none answers: ${(error as Error).message}`;
  }
}
