import type { CommandContext } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { hint } from "../hint.ts";
import { named, parse, UsageError } from "../parse.ts";
import { printable, printJson } from "../print.ts";
import { fields, text, texts } from "../shape.ts";

const meaning: Readonly<Record<string, readonly string[]>> = {
  worker: [
    "As worker it runs in a thread of its own, which can be ended, but its code has all that Node has:",
    "your files, your network and your environment. rclaw's permissions do not bind code that goes around them.",
  ],
  "in-process": [
    "As in-process it runs inside the gateway, with full trust: your files, your network, every secret and session.",
    "If it hangs or crashes, so does the gateway. It cannot be ended from outside.",
  ],
};

async function setRuntime(
  context: CommandContext,
  params: { readonly id: string; readonly runtime: string; readonly widen?: boolean },
): Promise<number> {
  const result = fields(await context.call("plugins.runtime", params));
  const state = text(result["state"]);
  if (context.json) printJson(context, result);
  else {
    context.note(
      printable(`${params.id} runs as ${params.runtime}${state === "active" ? ", from now on" : ""}.`),
    );
    context.note(
      hint(
        printable(
          params.runtime === "wasm"
            ? `See: rclaw plugin info ${params.id}`
            : `To undo: rclaw plugin isolate ${params.id} wasm`,
        ),
      ),
    );
  }
  return state === "failed" ? 1 : 0;
}

/** `plugin trust`: more freedom for one plugin, given knowingly. */
export async function trust(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { runtime: { type: "string" }, yes: { type: "boolean" } });
  const { id } = named(flags.words, ["id"], "plugin trust");
  const runtime = flags.value("runtime") ?? "";
  const lines = meaning[runtime];
  if (!lines) throw new UsageError("plugin trust needs --runtime worker or --runtime in-process");
  for (const line of lines) context.note(line);
  if (!flags.flag("yes") && !(await agrees(context, `Let ${id} run as ${runtime}`))) return 1;
  return setRuntime(context, { id, runtime, widen: true });
}

/** `plugin isolate`: a narrower cage, or the one it had. */
export async function isolate(context: CommandContext, args: readonly string[]): Promise<number> {
  const { id, runtime } = named(parse(args, {}).words, ["id", "runtime"], "plugin isolate");
  if (!["wasm", "worker", "in-process"].includes(runtime))
    throw new UsageError(`plugin isolate <id> takes wasm, worker or in-process, not "${runtime}"`);
  return setRuntime(context, { id, runtime });
}

/** `plugin panic`: all that did not come with rclaw goes off, now. */
export async function panic(context: CommandContext, args: readonly string[]): Promise<number> {
  const flags = parse(args, { yes: { type: "boolean" } });
  named(flags.words, [], "plugin panic");
  const question = "Switch off, at once, every plugin that did not come with rclaw";
  if (!flags.flag("yes") && !(await agrees(context, question))) return 1;
  const result = fields(await context.call("plugins.panic", {}));
  if (context.json) {
    printJson(context, result);
    return 0;
  }
  const off = texts(result["off"]);
  context.note(printable(off.length > 0 ? `Off: ${off.join(", ")}.` : "Nothing of that kind was on."));
  context.note("Settings, secrets and storage are kept, and nothing new can be switched on.");
  context.note(
    hint(
      printable(
        `To come back: rclaw config unset plugins.enabled, then: rclaw plugin enable ${off[0] ?? "<id>"}`,
      ),
    ),
  );
  return 0;
}
