import type { CommandContext } from "@rclaw/plugin-sdk";
import { type Built, buildPlugin } from "../author/build.ts";
import { openFolder } from "../author/folder.ts";
import { hint } from "../hint.ts";
import { parse, UsageError } from "../parse.ts";
import { printable, printJson } from "../print.ts";

/** The folder a command is about: the only word, or the one it is called in. */
export function folderOf(words: readonly string[], what: string): string {
  const [folder = ".", extra] = words;
  if (extra !== undefined) throw new UsageError(`${what} takes one folder, and "${extra}" is another`);
  return folder;
}

/** The folder as a further word of the next command, where it is needed. */
export const wordFor = (folder: string): string => (folder === "." ? "" : ` ${folder}`);

const unit = (bytes: number): string =>
  bytes < 10_240
    ? `${bytes} B`
    : bytes < 1_048_576
      ? `${Math.round(bytes / 1_024)} KB`
      : `${(bytes / 1_048_576).toFixed(1)} MB`;

export const describeBuilt = ({ outputs, ms }: Built): string =>
  `Built ${outputs.map(({ file, bytes }) => `${file} (${unit(bytes)})`).join(" and ")} in ${(ms / 1_000).toFixed(1)} s.`;

/** `plugin build`: makes the files that the manifest names. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, {});
  const folder = folderOf(flags.words, "plugin build");
  const plugin = await openFolder(folder);
  const built = await buildPlugin(plugin, {
    signal: context.signal,
    ...(!context.json && { onOutput: (line) => context.note(printable(line.trimEnd())) }),
  });
  if (context.json) {
    printJson(context, built);
    return 0;
  }
  context.note(printable(describeBuilt(built)));
  context.note(hint(printable(`Next: rclaw plugin test${wordFor(folder)}`)));
  return 0;
}
