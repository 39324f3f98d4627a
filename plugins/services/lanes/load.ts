import type { MessagePort } from "node:worker_threads";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";

/** What a sandbox thread runs, in a form that can be posted to it. */
export type Program =
  | { readonly kind: "js"; readonly entry: string }
  | { readonly kind: "core"; readonly file: string }
  | {
      readonly kind: "component";
      /** Its core modules stand there. */
      readonly folder: string;
      /** The transpiled module that instantiates the component. */
      readonly script: string;
      readonly world: string;
      readonly version: string;
    };

/** Begins one plugin's life in a sandbox thread; the task lasts as long as the plugin lives there. */
export interface LoadTask {
  readonly id: string;
  readonly program: Program;
  readonly limits: LaneLimits;
  /** Frames, both ways. */
  readonly port: MessagePort;
  /** Requests for which the thread stands still. */
  readonly bridge: MessagePort;
  /** Answers "are you there?" of the watchman. */
  readonly control: MessagePort;
  readonly pulse: SharedArrayBuffer;
  readonly meter: SharedArrayBuffer;
  /** Wakes the thread when the answer to a standing request is there. */
  readonly bell: SharedArrayBuffer;
  /** The plugin's number in its cell, so that the watchman knows whom to blame. */
  readonly slot: number;
}

/** Fields of the pulse, shared by all plugins of a cell: 32-bit integers. */
export const pulse = { answered: 0, waiting: 1, slot: 2, fields: 3 } as const;
/** Fields of the meter, one for each plugin: 64-bit floats. */
export const meter = { cpuMs: 0, bytes: 1, fields: 2 } as const;

export const pulseOf = (buffer: SharedArrayBuffer): Int32Array => new Int32Array(buffer);
export const meterOf = (buffer: SharedArrayBuffer): Float64Array => new Float64Array(buffer);
