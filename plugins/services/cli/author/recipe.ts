import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { type BuildOptions, recipeName } from "./build.ts";
import { readJson5 } from "./folder.ts";
import { witFolder } from "./places.ts";

/** How a plugin in another language is built: one command, run without a shell. */
interface Recipe {
  readonly command: readonly string[];
  readonly needs: string;
  readonly output: string;
  /** For people: how to get `needs`. */
  readonly install?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const installs: Readonly<Record<string, string>> = {
  clang: "apt-get install clang lld (Debian, Ubuntu), or https://releases.llvm.org",
  cargo: "https://rustup.rs, then: rustup target add wasm32-unknown-unknown wasm32-wasip1",
  go: "https://go.dev/dl, version 1.24 or later",
  tinygo: "https://tinygo.org/getting-started/install",
  "componentize-py": "pip install componentize-py",
  asc: "npm install --save-dev assemblyscript",
  npx: "https://nodejs.org, which brings npx along",
};

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string");

function recipeFrom(raw: unknown, file: string): Recipe {
  const { command, needs, output, install, env } = (raw ?? {}) as Record<string, unknown>;
  if (!isTexts(command) || typeof output !== "string")
    throw new RclawError(
      "INVALID_REQUEST",
      `${file} must be { command: ["clang", ...], needs: "clang", output: "x.wasm" }`,
    );
  return {
    command,
    output,
    needs: typeof needs === "string" ? needs : (command[0] ?? ""),
    ...(typeof install === "string" && { install }),
    ...(typeof env === "object" && env !== null && { env: env as Record<string, string> }),
  };
}

/** Runs the folder's recipe and answers where its output is. `{wit}` in it stands for the folder of the contract. */
export async function runRecipe(folder: string, { signal, onOutput }: BuildOptions): Promise<string> {
  const file = path.join(folder, recipeName);
  const recipe = recipeFrom(await readJson5(file), file);
  const [program = "", ...args] = recipe.command.map((word) => word.replaceAll("{wit}", witFolder));
  // A tool that npm installed beside the plugin is meant before any other of that name.
  const PATH = [path.join(folder, "node_modules/.bin"), process.env["PATH"]].join(path.delimiter);
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...recipe.env, PATH },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
  });
  let output = "";
  let line = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = `${output}${text}`.slice(-65_536);
      const lines = `${line}${text}`.split("\n");
      line = lines.pop() ?? "";
      for (const whole of lines) onOutput?.(whole);
    });
  }
  try {
    const [code] = (await once(child, "close")) as [number | null];
    if (line !== "") onOutput?.(line);
    if (code === 0) return path.resolve(folder, recipe.output);
    throw new RclawError(
      "INVALID_REQUEST",
      `${program} ended with ${code ?? "a signal"}${onOutput ? "" : `:\n${output.trim()}`}`,
    );
  } catch (error) {
    signal.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const how = recipe.install ?? installs[recipe.needs];
    throw new RclawError(
      "NOT_FOUND",
      `building this plugin needs ${recipe.needs}, which is not there${how ? `.\nTo get it: ${how}` : ""}`,
      { cause: error },
    );
  }
}
