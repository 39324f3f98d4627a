import type { Logger, Plugin } from "../plugin.ts";
import type { FoundManifest } from "./plugin-admin.ts";

/** Where a plugin runs, from most to least freedom. */
export type Runtime = FoundManifest["manifest"]["runtime"];

/** What a caged plugin may use. Every number has a default, which the operator may raise or lower. */
export interface LaneLimits {
  /** Bytes of linear memory of a WASM guest, all its memories together. Default 32 MiB. */
  readonly memoryBytes: number;
  /** Entries of its tables. Default 10,000. */
  readonly tableEntries: number;
  /** Milliseconds to load, start section and `activate` included. Default 5,000. */
  readonly loadMs: number;
  /** Milliseconds for a call, when the contribution does not say less. Default 30,000. */
  readonly callMs: number;
  /** Milliseconds of computing at a stretch, without asking the host. Default 5,000. */
  readonly entryMs: number;
  /** Bytes of an answer. Default 1 MiB. */
  readonly resultBytes: number;
  /** Requests to the host for one call. Default 1,000. */
  readonly hostCalls: number;
  /** Log lines a second. Default 100. */
  readonly logLines: number;
  /** Bytes that the host keeps on the guest's behalf. Default 16 MiB. */
  readonly hostBytes: number;
}

/** What a caged plugin has used since it was first loaded. */
export interface LaneUse {
  readonly runtime: Runtime;
  readonly loaded: boolean;
  readonly calls: number;
  readonly failures: number;
  /** Milliseconds of computing. */
  readonly cpuMs: number;
  /** The most bytes of linear memory seen; 0 for a worker. */
  readonly peakBytes: number;
  /** Bytes sent and received through egress. */
  readonly egressBytes: number;
  /** Requests that the permissions refused. */
  readonly denials: number;
  readonly kills: number;
  /** Why a newer version gave way to this one, when that was the last change of versions. */
  readonly gaveWay?: string;
}

/** A version that broke soon after it had taken over; the one before it carries on. */
export interface GaveWay {
  readonly from: FoundManifest;
  readonly to: FoundManifest;
  readonly reason: string;
}

export interface LanePorts {
  readonly log: Logger;
  readonly stateDir: string;
  /** The operator's limits for a plugin; what is missing has its default. */
  limits(id: string): Partial<LaneLimits>;
  /** Something of a plugin broke; shown to the owner. */
  report(id: string, where: string, error: unknown): void;
  /** Throws when a file is not the one that was installed. Asked whenever an artefact is read. */
  verify?(found: FoundManifest, file: string): Promise<void>;
  /** Milliseconds without work after which a plugin leaves its thread. Default 45,000. */
  readonly idleMs?: number;
  /** The built thread, when it is not beside the service. */
  readonly workerFile?: string;
}

/** The cages of one gateway. Nothing of them exists before the first plugin needs one. */
export interface Lanes {
  /**
   * A plugin that lives in a worker thread or a WASM sandbox, as an ordinary plugin. Nothing is instantiated
   * before it is needed: what it offers is remembered by the artefact's hash.
   */
  load(found: FoundManifest, runtime: "worker" | "wasm"): Promise<Plugin>;
  use(id: string): LaneUse | undefined;
  /**
   * Goes on with another version of a living plugin: what is under way finishes on the old one, what comes goes to
   * the new one, which gives way again if it breaks soon. False when it is not active, or not the same to its callers.
   */
  swap(found: FoundManifest, runtime: Runtime): Promise<boolean>;
  /** Forgets whatever was remembered about a plugin that is being removed; its files are still there. */
  forget(found: FoundManifest): Promise<void>;
  close(): Promise<void>;
}

/** Service "lanes": plugins behind a boundary. */
export interface LanesService {
  createLanes(ports: LanePorts): Lanes;
  /** Who keeps the list of what is installed is told when a version of that gateway gives way. One listener for a state folder. */
  onGaveWay(stateDir: string, listener: (event: GaveWay) => void): void;
}
