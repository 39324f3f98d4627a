import { createInterface } from "node:readline";
import { RclawError } from "@rclaw/plugin-sdk";

export interface AskOptions {
  readonly hidden?: boolean;
  readonly default?: string;
}

/** Questions go to stderr, so that stdout stays clean data. Ctrl-C and end of input give up. */
export async function ask(
  question: string,
  { hidden = false, default: fallback }: AskOptions,
  signal: AbortSignal,
): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new RclawError(
      "INVALID_REQUEST",
      `"${question}" needs an answer and nobody is at the terminal; give it by flag, environment or standard input`,
    );
  }
  const prompt = `${question}${fallback ? ` [${fallback}]` : ""}: `;
  const answer = hidden ? await askHidden(prompt, signal) : await askShown(prompt, signal);
  return answer.trim() || (fallback ?? "");
}

function askShown(prompt: string, signal: AbortSignal): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      reader.close();
      reject(new RclawError("ABORTED", "nothing was changed"));
    };
    signal.addEventListener("abort", giveUp, { once: true });
    reader.on("SIGINT", giveUp);
    reader.on("close", () => signal.removeEventListener("abort", giveUp));
    reader.question(prompt, (answer) => {
      resolve(answer);
      reader.close();
    });
  });
}

/** Raw mode: the terminal shows nothing, we show a star a character so that a paste is seen to arrive. */
function askHidden(prompt: string, signal: AbortSignal): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.resume();
  stdin.setEncoding("utf8");
  let answer = "";
  return new Promise((resolve, reject) => {
    const end = (): void => {
      stdin.off("data", onData);
      signal.removeEventListener("abort", giveUp);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
    };
    const giveUp = (): void => {
      end();
      reject(new RclawError("ABORTED", "nothing was changed"));
    };
    const onData = (data: string): void => {
      for (const char of data) {
        if (char === "\u0003" || char === "\u0004") return giveUp();
        if (char === "\r" || char === "\n") {
          end();
          return resolve(answer);
        }
        if (char === "\u007F" || char === "\b") {
          if (answer) stderr.write("\b \b");
          answer = answer.slice(0, -1);
        } else if (char >= " ") {
          answer += char;
          stderr.write("*");
        }
      }
      return undefined;
    };
    signal.addEventListener("abort", giveUp, { once: true });
    stdin.on("data", onData);
  });
}

export async function* lines(signal: AbortSignal): AsyncGenerator<string> {
  const reader = createInterface({ input: process.stdin, terminal: false, signal });
  try {
    for await (const line of reader) yield line;
  } finally {
    reader.close();
  }
}
