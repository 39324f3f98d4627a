import { type CommandContext, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { describeBuilt } from "../commands/plugin-build.ts";
import { logLine, newLines } from "../commands/plugin-logs.ts";
import { hint } from "../hint.ts";
import { pause } from "../pause.ts";
import { painter, printable } from "../print.ts";
import { text } from "../shape.ts";
import { type Bench, benchFor } from "./bench.ts";
import { buildPlugin } from "./build.ts";
import { openFolder, type PluginFolder } from "./folder.ts";
import { watchFolder } from "./watch.ts";

const logMs = 400;

/** One session at the workbench: until Ctrl-C, every save is built, and what was built runs. */
export async function develop(context: CommandContext, folder: string, keep: boolean): Promise<number> {
  const gateway = await context.gateway();
  if (!gateway)
    throw new RclawError(
      "GATEWAY_UNREACHABLE",
      "there is no gateway to swap the plugin in; start one in another terminal: rclaw gateway",
    );
  if (gateway.pid === undefined)
    throw new RclawError("UNAVAILABLE", "the gateway is on another machine, which cannot see this folder");
  // Ctrl-C ends the session and not the connection, which is needed to clean up.
  const session = new AbortController();
  const signal = AbortSignal.any([session.signal, context.signal]);
  using _interrupt = context.onInterrupt(() => session.abort());
  const plugin = await openFolder(folder);
  const { id } = plugin.manifest;
  using watched = await watchFolder(
    folder,
    [plugin.js, plugin.wasm].filter((file) => file !== undefined),
  );
  const bench = await benchFor({ context, folder, id, end: () => session.abort() }, keep);
  const desk = { context, folder, signal, id, bench };
  try {
    const following = follow(desk);
    await turn(desk);
    if (!signal.aborted) context.note(`Watching ${printable(folder)}. Ctrl-C leaves.`);
    while (await watched.changed(signal)) await turn(desk);
    await following;
  } finally {
    session.abort();
    await bench.leave();
  }
  return 0;
}

interface Desk {
  readonly context: CommandContext;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly id: string;
  readonly bench: Bench;
}

/** Builds and swaps. What fails is told, and what runs goes on. */
async function turn(desk: Desk): Promise<void> {
  const { context, folder, signal, id, bench } = desk;
  const paint = painter(context);
  try {
    // Read again: what the manifest says may be what was changed.
    const plugin = await openFolder(folder);
    refuseRenamed(plugin, id);
    const built = await buildPlugin(plugin, { signal });
    if (signal.aborted) return;
    context.note(printable(describeBuilt(built)));
    await bench.put();
  } catch (error) {
    if (signal.aborted) return;
    const { message } = error as Error;
    const code = isRclawError(error) ? text(error.details?.["code"], error.code) : "";
    // No save of the author's will change that.
    if (code === "CONFLICT" && !bench.isThere()) throw error;
    context.note(`${paint("red", "✗")} ${printable(hint(message))}${code && ` [${code}]`}`);
    if (bench.isThere()) context.note(paint("dim", "The one before runs on."));
  }
}

function refuseRenamed({ manifest }: PluginFolder, id: string): void {
  if (manifest.id === id) return;
  throw new RclawError(
    "CONFLICT",
    `the manifest's id is "${manifest.id}" now and was "${id}"; leave with Ctrl-C and start again`,
  );
}

/** What the plugin writes to the log, as it comes. */
async function follow({ context, signal, id }: Desk): Promise<void> {
  let cursor: string | undefined;
  // What it wrote before this session is of no interest.
  const since = new Date().toISOString();
  do {
    try {
      const answer = await newLines(context, id, cursor);
      for (const line of answer.lines) if (text(line["time"]) >= since) context.note(logLine(context, line));
      cursor = answer.cursor;
    } catch {
      // Until it was built for the first time there is no such plugin.
    }
  } while (await pause(logMs, signal));
}
