import { hash } from "node:crypto";
import type { Run, TranscriptEntry } from "@rclaw/plugin-sdk";

type Named = Pick<Run, "id" | "method" | "principal" | "acceptedAt">;

/** What a run's lines carry besides its id, which other methods, other principals and later days may use as well. */
export function markOf({ method, principal, id, acceptedAt }: Named): string {
  return hash("sha256", JSON.stringify([method, principal, id, acceptedAt]), "hex").slice(0, 12);
}

/** Whether a line of the transcript is this run's. Lines from before there were marks have only the id. */
export function ownLines(run: Named): (entry: TranscriptEntry) => boolean {
  const mark = markOf(run);
  return ({ runId, runMark = mark }) => runId === run.id && runMark === mark;
}
