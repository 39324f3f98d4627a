import { hash } from "node:crypto";
import { copyFile, readFile } from "node:fs/promises";
import { type Logger, type PluginContext, RclawError, type Run } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { codeOf } from "./disk.ts";
import type { Journal } from "./journal.ts";
import { openLine, seal } from "./lines.ts";
import { acceptRecord, type JournalRecord, markRecord, type RunMark } from "./records.ts";

const maxSettled = 10_000;
const settledForMs = 24 * 3_600_000;
/** Pruned by the thousand or the hour: a map from which the oldest goes with each new one is slow to find its first. */
const prunedAtOnce = 1_000;
const pruneEveryMs = 3_600_000;

interface Row {
  readonly key: string;
  readonly run: Run;
  /** Of the params, which a settled run no longer has: the same id with other params stays a conflict. */
  readonly paramsHash: string;
}

export interface RunsOptions {
  readonly redact: (json: string) => string;
  readonly file: string;
  readonly log: Logger;
  now(): number;
  journal(): Journal;
}

/** The ledger of accepted requests: what a crash interrupts is found again, what is sent twice is done once. */
export class Runs {
  readonly #options: RunsOptions;
  readonly #open = new Map<string, Row>();
  /** Oldest first. */
  readonly #settled = new Map<string, Row>();
  readonly #accepting = new Map<string, { readonly paramsHash: string; readonly done: Promise<Row> }>();
  #changed = false;
  #prunedAt = 0;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /** Reads the last checkpoint, then the steps that the journal still holds. */
  async load(records: readonly JournalRecord[]): Promise<void> {
    for (const { run, paramsHash } of await this.#read()) this.#place({ key: keyOf(run), run, paramsHash });
    for (const record of records) {
      if (record.kind === "accept") {
        const { run, paramsHash } = record;
        const key = keyOf(run);
        if (!this.#find(key)) this.#place({ key, run, paramsHash });
      }
      if (record.kind === "mark") this.#apply(keyOf(record.mark), record.mark);
    }
    this.#prune();
    this.#changed ||= records.length > 0;
  }

  accept: PluginContext["runs"]["accept"] = async (request) => {
    // What is stored, and compared later, is what JSON keeps; and the caller may go on changing its object.
    const params = plain(request.params);
    const paramsHash = hashOf(params);
    const key = keyOf(request);
    const known = this.#find(key);
    const running = this.#accepting.get(key);
    if ((known ?? running) && (known ?? running)?.paramsHash !== paramsHash) throw conflict(request);
    if (known) return { run: known.run, duplicate: true };
    if (running) return { run: (await running.done).run, duplicate: true };

    const { id, sessionKey, method, principal } = request;
    const run: Run = {
      id,
      sessionKey,
      method,
      principal,
      params,
      acceptedAt: this.#options.now(),
      state: "accepted",
    };
    const done = this.#store(acceptRecord(run, paramsHash, this.#options.redact), () => {
      const row = { key, run, paramsHash };
      this.#place(row);
      return row;
    });
    this.#accepting.set(key, { paramsHash, done });
    try {
      return { run: (await done).run, duplicate: false };
    } finally {
      this.#accepting.delete(key);
    }
  };

  mark: PluginContext["runs"]["mark"] = async (run, state, error) => {
    const key = keyOf(run);
    const row = this.#find(key);
    if (!row)
      throw new RclawError(
        "NOT_FOUND",
        `there is no ${run.method} run "${run.id}" of ${run.principal}; accept it first`,
      );
    // The first end counts: a run that was aborted must not turn into an answered one.
    if (isSettled(row.run)) return row.run;
    const { id, method, principal } = run;
    const mark: RunMark = {
      id,
      method,
      principal,
      state,
      at: this.#options.now(),
      ...(error !== undefined && { error }),
    };
    return this.#store(markRecord(mark), () => this.#apply(key, mark) ?? row.run);
  };

  unsettled: PluginContext["runs"]["unsettled"] = () => [...this.#open.values()].map(({ run }) => run);

  find: PluginContext["runs"]["find"] = (method, principal, id) =>
    this.#find(keyOf({ method, principal, id }))?.run;

  /** Writes the ledger to its own file. May run while it changes: what changes meanwhile is in a later journal segment. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    this.#prune();
    const lines: string[] = [];
    for (const { run, paramsHash } of [...this.#settled.values(), ...this.#open.values()]) {
      lines.push(seal(this.#options.redact(JSON.stringify({ run, paramsHash }))));
      // Ten thousand rows at once would be felt by everybody.
      if (lines.length % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    try {
      await writeAtomic(this.#options.file, `[\n${lines.join(",\n")}\n]\n`);
    } catch (error) {
      this.#changed = true;
      throw error;
    }
  }

  #store<T>(text: string, apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#options.journal().append(text, (error) => {
        if (error) reject(error);
        else resolve(apply());
      });
    });
  }

  #find(key: string): Row | undefined {
    return this.#open.get(key) ?? this.#settled.get(key);
  }

  #place(row: Row): void {
    this.#changed = true;
    if (!isSettled(row.run)) {
      this.#open.set(row.key, row);
      return;
    }
    this.#open.delete(row.key);
    this.#settled.set(row.key, row);
    const isDue = this.#options.now() - this.#prunedAt >= pruneEveryMs;
    if (isDue || this.#settled.size >= maxSettled + prunedAtOnce) this.#prune();
  }

  #apply(key: string, { state, at, error }: RunMark): Run | undefined {
    const row = this.#find(key);
    if (!row || isSettled(row.run)) return row?.run;
    const ended = state === "accepted" || state === "replying" ? {} : { endedAt: at, params: {} };
    const run = { ...row.run, state, ...ended, ...(error !== undefined && { error }) };
    this.#place({ key, run, paramsHash: row.paramsHash });
    return run;
  }

  #prune(): void {
    this.#prunedAt = this.#options.now();
    const oldest = this.#prunedAt - settledForMs;
    for (const [key, { run }] of this.#settled) {
      if (this.#settled.size <= maxSettled && (run.endedAt ?? run.acceptedAt) >= oldest) return;
      this.#settled.delete(key);
    }
  }

  async #read(): Promise<readonly Omit<Row, "key">[]> {
    const { file, log } = this.#options;
    let data: Buffer;
    try {
      data = await readFile(file);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
    const rows: Omit<Row, "key">[] = [];
    let bad = 0;
    // One run a line, each with its own checksum, so that damage costs one run and not the ledger.
    for (
      let start = 0, end = data.indexOf(10);
      start < data.length;
      start = end + 1, end = data.indexOf(10, start)
    ) {
      if (end === -1) end = data.length;
      const line = data.subarray(start, data[end - 1] === 44 ? end - 1 : end);
      if (line.length <= 1) continue;
      const opened = openLine(line, true);
      if (opened.ok) rows.push(opened.value as unknown as Omit<Row, "key">);
      else bad++;
    }
    if (bad > 0) {
      const backup = `${file}.corrupt-${new Date().toISOString().replaceAll(":", "-")}`;
      await copyFile(file, backup).catch(() => undefined);
      log.error({ file, backup, lines: bad }, "the ledger of runs is damaged; the damaged runs are left out");
    }
    return rows;
  }
}

function isSettled({ state }: Run): boolean {
  return state !== "accepted" && state !== "replying";
}

function keyOf({ method, principal, id }: Pick<Run, "method" | "principal" | "id">): string {
  return JSON.stringify([method, principal, id]);
}

function conflict({ method, id }: Pick<Run, "method" | "id">): RclawError {
  return new RclawError(
    "CONFLICT",
    `${method} was already asked with the idempotency key "${id}" and other params; use a new key for a new request`,
    { details: { method, id } },
  );
}

function plain(params: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(JSON.stringify(params)) as Record<string, unknown>;
  } catch (error) {
    throw new RclawError("INVALID_REQUEST", "a run's params must be plain JSON", { cause: error });
  }
}

function hashOf(params: unknown): string {
  return hash("sha256", sorted(params), "hex").slice(0, 32);
}

/** JSON with sorted keys: the order in which a client writes them means nothing. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = value as Readonly<Record<string, unknown>>;
  let text = "";
  for (const key of Object.keys(members).sort())
    text += `${text && ","}${JSON.stringify(key)}:${sorted(members[key])}`;
  return `{${text}}`;
}
