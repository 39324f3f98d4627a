import path from "node:path";
import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { sdkPackage, templatesFolder } from "../author/places.ts";
import { copyTemplate, idPattern, kinds, languages, refuseUsedFolder, wordsOf } from "../author/template.ts";
import { hint, isThroughNpx } from "../hint.ts";
import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";
import { named, parse, UsageError } from "../parse.ts";
import { printable, printJson } from "../print.ts";
import { fields, rows, text } from "../shape.ts";

const first = { ts: "npm install", rust: "", go: "", python: "pip install componentize-py", c: "" } as const;

function oneOf<const Word extends string>(
  given: string | undefined,
  known: readonly Word[],
  flag: string,
  otherwise: Word,
): Word {
  if (given === undefined) return otherwise;
  const found = known.find((word) => word === given);
  if (found !== undefined) return found;
  throw new UsageError(`${flag} is ${known.join(", ")}, not "${given}"${didYouMean(given, known)}`);
}

async function refuseTaken(context: CommandContext, id: string): Promise<void> {
  const plugins = rows(fields(await context.call("plugins.list", {}))["plugins"]);
  if (plugins.some((row) => text(row["id"]) === id && row["builtIn"] === true))
    throw new RclawError("CONFLICT", `a plugin "${id}" comes with rclaw; give yours another id`);
}

/** `plugin new`: a folder that builds, passes its checks and does something. */
export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, {
    lang: { type: "string" },
    dir: { type: "string" },
    kind: { type: "string" },
  });
  const { id } = named(flags.words, ["id"], "plugin new");
  if (!idPattern.test(id))
    throw new UsageError(
      `"${id}" cannot be a plugin's id: at most 64 lower-case letters, digits and "-", a letter first`,
    );
  const lang = oneOf(flags.value("lang"), languages, "--lang", "ts");
  const kind = oneOf(flags.value("kind"), kinds, "--kind", "tool");
  if (lang !== "ts" && flags.value("kind") !== undefined && kind !== "tool")
    throw new UsageError(`a ${kind} is written in ts; --lang ${lang} makes a tool`);
  await refuseTaken(context, id);
  const folder = path.resolve(flags.value("dir") ?? ".", id);
  await refuseUsedFolder(folder);
  const sdk = sdkPackage();
  const words = wordsOf(id, sdk === undefined ? "^0.1.0" : `file:${sdk}`);
  const files = await copyTemplate(path.join(templatesFolder, lang), folder, words, {
    ...(lang === "ts" && { kind }),
    shared: path.join(templatesFolder, "any"),
  });
  if (context.json) {
    printJson(context, { id, lang, ...(lang === "ts" && { kind }), folder, files });
    return 0;
  }
  const shown = path.relative(process.cwd(), folder) || ".";
  context.note(printable(`Wrote ${shown}:\n  ${files.join(", ")}`));
  const before = lang === "assemblyscript" ? "npm install assemblyscript" : first[lang];
  // In a folder with a package.json of its own, npx would look for an rclaw there, and then in the registry.
  const isElsewhere = isThroughNpx() && shown !== ".";
  const word = isElsewhere ? ` ${shown}` : "";
  const steps = [
    isElsewhere || shown === "." ? "" : `cd ${shown}`,
    isElsewhere ? before.replace(/^npm install/, `npm install --prefix ${shown}`) : before,
    `rclaw plugin build${word}`,
    `rclaw plugin test${word}`,
    `rclaw plugin dev${word}     # swaps it in the running gateway at every save`,
  ];
  context.note("Next:");
  for (const step of steps) if (step !== "") context.note(hint(printable(`  ${step}`)));
  return 0;
}
