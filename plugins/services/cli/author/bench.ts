import { realpath } from "node:fs/promises";
import path from "node:path";
import { type CommandContext, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { agrees } from "../consent.ts";
import { describeDiff, questions } from "../commands/plugin-store.ts";
import { hint } from "../hint.ts";
import { painter, printable } from "../print.ts";
import { type Fields, fields, text, texts } from "../shape.ts";

/** Where the builds of one session go. */
export interface Bench {
  /** Lets the newest build run, and says what became of that. */
  put(): Promise<void>;
  /** Something of the plugin runs, whatever happens to the next build. */
  isThere(): boolean;
  leave(): Promise<void>;
}

interface Work {
  readonly context: CommandContext;
  readonly folder: string;
  readonly id: string;
  /** Ends the session: a question was answered with Ctrl-C. */
  readonly end: () => void;
}

const good = (context: CommandContext, what: string): void =>
  context.note(`${painter(context)("green", "✓")} ${printable(what)}`);
const bad = (context: CommandContext, what: string): void =>
  context.note(`${painter(context)("red", "✗")} ${printable(what)}`);

const runs = (id: string, adds: readonly string[]): string =>
  `${id} runs${adds.length > 0 ? `: ${adds.join(", ")}` : ""}`;

/** What is known of the plugin, when it was installed from this very folder. */
async function installedFrom({ context, id, folder }: Work): Promise<Fields | undefined> {
  const row = await context.call("plugins.info", { id }).then(fields, (error: unknown): Fields => {
    if (isRclawError(error)) return {};
    throw error;
  });
  const source = text(row["source"]);
  if (!path.isAbsolute(source)) return undefined;
  const placeOf = (file: string): Promise<string> => realpath(file).catch(() => file);
  return (await placeOf(source)) === (await placeOf(folder)) ? row : undefined;
}

export async function benchFor(work: Work, keep: boolean): Promise<Bench> {
  return (await installedFrom(work)) ? installedBench(work) : linkedBench(work, keep);
}

/** A plugin that is not installed: the gateway gets a copy, which goes again in the end. */
function linkedBench({ context, folder, id }: Work, keep: boolean): Bench {
  let linked = false;
  return {
    isThere: () => linked,
    async put() {
      const answer = fields(await context.call("plugins.link", { folder }));
      const isFirst = !linked;
      linked = true;
      const error = text(answer["error"]);
      if (text(answer["state"]) === "failed" || error !== "") bad(context, `${id} does not start: ${error}`);
      else good(context, isFirst ? runs(id, texts(answer["adds"])) : `${id} was swapped`);
    },
    async leave() {
      if (!linked) return;
      if (keep) {
        context.note(hint(printable(`\n${id} stays as it is. To remove it: rclaw plugin remove ${id}`)));
        return;
      }
      await context.call("plugins.unlink", { id });
      context.note(printable(`\n${id} was taken out of the gateway again; your folder is as you left it.`));
    },
  };
}

/** A plugin that was installed from this folder: every build is an update of it. */
function installedBench(work: Work): Bench {
  const { context, folder, id } = work;
  /** Digests: of what was installed before the session, and of what was built last. */
  let since = "";
  let latest = "";
  let isFirst = true;
  let declined = "";

  async function staged(): Promise<{ readonly token: unknown; readonly plan: Fields }> {
    if (!(await installedFrom(work)))
      throw new RclawError(
        "CONFLICT",
        `plugin "${id}" is not the one of this folder any more; leave with Ctrl-C and start again`,
      );
    const { token, plan } = fields(await context.call("plugins.stage", { source: folder, update: id }));
    return { token, plan: fields(plan) };
  }

  /** What is more than was agreed to is not there before it is agreed to. */
  async function consent(plan: Fields): Promise<readonly string[] | undefined> {
    const asks = texts(plan["asks"]);
    if (asks.length === 0) return asks;
    const diff = fields(plan["diff"]);
    const what = JSON.stringify([asks, diff["widened"]]);
    bad(context, `${id} asks for more than was agreed to:`);
    describeDiff(context, diff);
    const flags = asks.map((kind) => ` --accept ${kind}`).join("");
    if (!context.interactive || what === declined) {
      context.note(hint(printable(`To agree: rclaw plugin update ${id}${flags}`)));
      return undefined;
    }
    for (const kind of asks)
      if (!(await agrees(context, questions[kind] ?? kind))) {
        declined = what;
        return undefined;
      }
    return asks;
  }

  async function commit(token: unknown, plan: Fields, accepts: readonly string[]): Promise<void> {
    const { digest } = plan;
    const done = fields(await context.call("plugins.commit", { token, digest, accepts, trial: { since } }));
    const reason = text(done["reason"]);
    const contributes = fields(fields(plan["manifest"])["contributes"]);
    const adds = (["tools", "channels", "providers"] as const).flatMap((kind) =>
      texts(contributes[kind]).map((name) => `${kind.replace(/s$/, "")} ${name}`),
    );
    if (reason !== "") bad(context, `${id} is not on: ${reason}`);
    else if (isFirst) good(context, `${runs(id, adds)}. It is installed from here; every build replaces it`);
    else good(context, done["changed"] === true ? `${id} was swapped` : `${id} is as it was`);
    isFirst = false;
  }

  return {
    isThere: () => true,
    async put() {
      const { token, plan } = await staged();
      if (since === "") since = text(fields(plan["installed"])["digest"]);
      latest = text(plan["digest"]);
      let accepts: readonly string[] | undefined;
      try {
        accepts = await consent(plan);
      } catch (error) {
        if (!isRclawError(error) || error.code !== "ABORTED") throw error;
        work.end();
        return;
      } finally {
        if (accepts === undefined) await context.call("plugins.discard", { token });
      }
      if (accepts) await commit(token, plan, accepts);
      else context.note(painter(context)("dim", "The one before runs on."));
    },
    async leave() {
      const row = await installedFrom(work);
      const digest = text(row?.["digest"]);
      if (digest === "") {
        context.note(
          hint(printable(`\n${id} is not what was installed from here any more. See: rclaw plugin list`)),
        );
        return;
      }
      const isAsBefore = since === "" || digest === since;
      const last = digest === latest ? "as you last built it" : "as the last build that ran";
      context.note(printable(`\n${id} stays installed, ${isAsBefore ? "as it was" : last}.`));
      if (!isAsBefore) {
        const where =
          text(row?.["previous"]) === since
            ? "what was installed before"
            : "an earlier build of this session";
        context.note(hint(printable(`To go back to ${where}: rclaw plugin rollback ${id}`)));
      }
      context.note(hint(printable(`To remove it: rclaw plugin remove ${id}`)));
    },
  };
}
