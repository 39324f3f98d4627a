import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { type Parsed, UsageError } from "./parse.ts";
import { printable } from "./print.ts";
import { type Fields, text } from "./shape.ts";

export const answerFlags = {
  account: { type: "string" },
  set: { type: "string", multiple: true },
  "token-env": { type: "string", multiple: true },
} as const;

export interface Question {
  readonly key: string;
  readonly title: string;
  readonly description: string;
  readonly secret: boolean;
  readonly required: boolean;
  readonly isSet: boolean;
}

export const questionOf = (row: Fields): Question => ({
  key: text(row["key"]),
  title: text(row["title"], text(row["key"])),
  description: text(row["description"]),
  secret: row["secret"] === true,
  required: row["required"] === true,
  isSet: row["isSet"] === true,
});

function split(given: string, flag: string): readonly [string, string] {
  const at = given.indexOf("=");
  if (at < 1)
    throw new UsageError(`${flag} is written ${flag} <key>=<value>, and "${given.slice(0, 40)}" is not`);
  return [given.slice(0, at), given.slice(at + 1)];
}

function fromSet(flags: Parsed, questions: readonly Question[], answers: Map<string, string>): void {
  for (const given of flags.values("set")) {
    const [key, value] = split(given, "--set");
    // Arguments can be read by every user of the machine, and shells keep them.
    if (questions.some((question) => question.key === key && question.secret)) {
      throw new UsageError(
        `${key} is a secret and is not taken from the command line; use --token-env ${key}=<name> or stdin`,
      );
    }
    answers.set(key, value);
  }
}

function fromEnvironment(flags: Parsed, questions: readonly Question[], answers: Map<string, string>): void {
  const secrets = questions.filter(({ secret }) => secret);
  for (const given of flags.values("token-env")) {
    const [key, name] = given.includes("=")
      ? split(given, "--token-env")
      : [secrets.find((one) => !answers.has(one.key))?.key, given];
    if (key === undefined)
      throw new UsageError(`--token-env ${given} answers no question: no further secret is asked for`);
    // The person named this variable just now; no manifest could have.
    const value = process.env[name];
    if (!value) throw new UsageError(`the environment variable ${name} is not set or empty`);
    answers.set(key, value.trim());
  }
}

/** What cannot be missing, one line of stdin each, in the order of the questions. */
async function fromStdin(
  context: CommandContext,
  open: readonly Question[],
  answers: Map<string, string>,
): Promise<void> {
  const left = [...open];
  for await (const line of context.lines()) {
    const question = left.shift();
    if (question && line.trim() !== "") answers.set(question.key, line.trim());
    if (left.length === 0) return;
  }
}

async function fromPerson(context: CommandContext, question: Question): Promise<string> {
  const hint = question.isSet ? " (Enter keeps what is stored)" : question.required ? "" : " (Enter skips)";
  const label = question.description ? `${question.title}: ${question.description}` : question.title;
  for (;;) {
    const answer = (await context.ask(`${printable(label)}${hint}`, { hidden: question.secret })).trim();
    if (answer !== "" || question.isSet || !question.required) return answer;
    context.note("It is needed; Ctrl-C gives up.");
  }
}

/**
 * Answers to a plugin's questions: from flags, an environment variable, the person, or stdin.
 * `again` asks also for what is stored already.
 */
export async function collect(
  context: CommandContext,
  flags: Parsed,
  questions: readonly Question[],
  again = false,
): Promise<Readonly<Record<string, string>>> {
  const answers = new Map<string, string>();
  fromSet(flags, questions, answers);
  fromEnvironment(flags, questions, answers);
  const open = questions.filter((question) => !answers.has(question.key) && (again || !question.isSet));
  if (context.interactive) {
    for (const question of open) {
      const answer = await fromPerson(context, question);
      if (answer !== "") answers.set(question.key, answer);
    }
    return Object.fromEntries(answers);
  }
  const needed = open.filter(({ required }) => required);
  if (needed.length > 0) await fromStdin(context, needed, answers);
  const missing = needed.find((question) => !answers.has(question.key) && !question.isSet);
  if (missing) {
    const way = missing.secret
      ? `pass it on stdin or with --token-env ${missing.key}=<name>`
      : `add --set ${missing.key}=<value>`;
    throw new RclawError("INVALID_REQUEST", `${missing.title} is needed and nobody is there to ask; ${way}`);
  }
  return Object.fromEntries(answers);
}
