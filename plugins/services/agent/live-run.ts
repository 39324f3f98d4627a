import type { Run } from "@rclaw/plugin-sdk";
import type { RunEvents, StopReason } from "./events.ts";
import type { RunRequest } from "./request.ts";
import type { TurnResult } from "./turn.ts";

export interface Outcome {
  readonly status: "ok" | "error" | "aborted" | "interrupted";
  readonly startedAt: number;
  readonly endedAt: number;
  readonly texts: readonly string[];
  readonly result?: TurnResult;
  readonly error?: string;
  readonly errorKind?: unknown;
  readonly stopReason?: StopReason;
}

/** One that waits for its turn is little more than its request: in a rush thousands of them do. */
export class LiveRun {
  readonly run: Run;
  readonly request: RunRequest;
  readonly resumed: boolean;
  readonly done: Promise<Outcome>;
  events: RunEvents | undefined;
  stopReason: StopReason | undefined;
  #controller: AbortController | undefined;
  #watchers: Set<string> | undefined;

  constructor(
    { run, request, resumed }: Pick<LiveRun, "run" | "request" | "resumed">,
    follow: (started: LiveRun) => Promise<Outcome>,
  ) {
    this.run = run;
    this.request = request;
    this.resumed = resumed;
    this.done = follow(this);
  }

  get controller(): AbortController {
    return (this.#controller ??= new AbortController());
  }

  get watchers(): Set<string> {
    return (this.#watchers ??= new Set());
  }
}
