import type { RclawError } from "@rclaw/plugin-sdk";
import type { Asked } from "@rclaw/plugin-sdk/boundary/calls";
import type { Endpoint } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Artefact } from "./artefact.ts";
import type { Cell } from "./cell.ts";

/** One life of a caged plugin. */
export interface Instance {
  readonly artefact: Artefact;
  readonly endpoint: Endpoint;
  readonly cell: Cell;
  readonly slot: number;
  /** Why it is gone, when it did not leave by itself. */
  failure: RclawError | undefined;
  /** Calls that are not answered yet. */
  readonly open: Set<OpenCall>;
  /** Told when the last of them is answered. */
  onQuiet: (() => void) | undefined;
  /** It gave way to another version and gets no new calls. */
  isLeaving: boolean;
  /** What it asks of the host and has no answer to yet. */
  readonly asking: Asking;
  /** Settles when what its channel had begun is done. */
  channelDone: Promise<void>;
  readonly gone: Promise<void>;
}

export interface OpenCall {
  readonly method: keyof Asked;
  readonly late: AbortController;
}

export interface Asking {
  count: number;
  /** Requests so far. */
  total: number;
  onNone: (() => void) | undefined;
}
