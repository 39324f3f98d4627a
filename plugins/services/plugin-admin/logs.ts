import { open } from "node:fs/promises";
import { defineMethod } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { forPeople } from "./cages.ts";
import { logsParams } from "./methods.schema.ts";

/** As far back as is looked for a plugin's lines. */
const maxBytes = 4_194_304;

interface Answer {
  readonly lines: readonly object[];
  /** Hand it in again for what came since. */
  readonly cursor: string;
}

/** One plugin's lines of the gateway's log, which are redacted already. */
export function logsMethod(fileNow: () => string | undefined, known: (id: string) => unknown): KernelMethod {
  return {
    scope: "operator.admin",
    ...defineMethod({
      name: "plugins.logs",
      since: "rclaw",
      params: logsParams,
      async handle({ params: { id, limit = 100, cursor }, caller }) {
        forPeople(caller, "plugins.logs");
        known(id);
        return readLines(fileNow(), id, limit, cursor);
      },
    }),
  };
}

async function readLines(file: string | undefined, id: string, limit: number, cursor = ""): Promise<Answer> {
  const handle = file === undefined ? undefined : await open(file, "r").catch(() => undefined);
  if (!handle) return { lines: [], cursor: "0:0" };
  try {
    const { ino, size } = await handle.stat();
    const [fileThen, until] = cursor.split(":").map(Number);
    // Another file, or a shorter one: the log was started afresh since.
    const from = fileThen === ino && until !== undefined && until <= size ? until : 0;
    const start = Math.max(from, size - maxBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    // What is still being written is for the next time.
    const end = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
    const mark = `"plugin":${JSON.stringify(id)}`;
    const lines = buffer
      .toString("utf8", 0, end)
      .split("\n")
      .filter((line) => line.includes(mark))
      .flatMap((line) => parsed(line, id));
    return { lines: lines.slice(-limit), cursor: `${ino}:${start + end}` };
  } finally {
    await handle.close();
  }
}

function parsed(line: string, id: string): readonly object[] {
  try {
    const fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return fields["plugin"] === id ? [fields] : [];
  } catch {
    return [];
  }
}
