import type { createPlugin } from "@extism/extism";

let loaded: Promise<typeof createPlugin> | undefined;

/** The SDK, loaded once and without a word on the terminal. */
export function loadExtism(): Promise<typeof createPlugin> {
  loaded ??= quietly(async () => (await import("@extism/extism")).createPlugin);
  return loaded;
}

/**
 * The SDK imports Node's WASI, which we never use and which warns by being imported. That warning would tell people
 * something untrue about their gateway; every other one is passed on.
 */
async function quietly<T>(load: () => Promise<T>): Promise<T> {
  const { emitWarning } = process;
  const quiet = (warning: string | Error, ...rest: unknown[]): void => {
    if (!/\bWASI is an experimental feature\b/.test(String(warning)))
      (emitWarning as (...args: unknown[]) => void).call(process, warning, ...rest);
  };
  process.emitWarning = quiet;
  try {
    return await load();
  } finally {
    if (process.emitWarning === quiet) process.emitWarning = emitWarning;
  }
}
