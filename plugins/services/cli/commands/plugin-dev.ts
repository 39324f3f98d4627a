import type { CommandContext } from "@rclaw/plugin-sdk";
import { develop } from "../author/dev.ts";
import { openFolder } from "../author/folder.ts";
import { parse } from "../parse.ts";
import { folderOf } from "./plugin-build.ts";

/** `plugin dev`: builds at every save and swaps the plugin in the running gateway. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { keep: { type: "boolean" } });
  const { folder } = await openFolder(folderOf(flags.words, "plugin dev"));
  return develop(context, folder, flags.flag("keep"));
}
