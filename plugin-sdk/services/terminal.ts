import type { Command } from "../gateway.ts";
import type { Config } from "./config.ts";
import type { LockHolder } from "./sessions.ts";

export interface CallExtras {
  readonly signal?: AbortSignal;
  onAccepted?(payload: unknown): void;
}

/** The kernel as a command of the program sees it. */
export interface TerminalPorts {
  readonly version: string;
  readonly json: boolean;
  readonly verbose: boolean;
  /** Calls a method on the kernel of this process. */
  call(method: string, params: unknown, extras?: CallExtras): Promise<unknown>;
  onEvent(listener: (event: string, payload: unknown) => void): Disposable;
  /** The gateway that runs on this state folder, if one does; without a URL it is still starting. */
  running(): Promise<LockHolder | undefined>;
  /** What that gateway asks for. */
  credentials(): { readonly token?: string; readonly password?: string };
  gatewayConfig(): Config["gateway"];
  /** A config value: `secret:<name>` is looked up, anything else stands for itself. */
  resolveSecret(value: string): Promise<string>;
}

/** A gateway that is ready, for the person who started it. */
export interface StartScreen {
  readonly version: string;
  /** The chat page's address, with what it needs to let this person in. */
  readonly page: string;
  readonly tlsFingerprint?: string;
  /** Calls a method on the kernel of this process. */
  call(method: string, params: unknown): Promise<unknown>;
  readonly configFile: string;
  readonly stateDir: string;
  readonly warnings: readonly string[];
}

/** Service "terminal": a command at work, with its connection, its questions and its exit code. */
export interface TerminalService {
  runCommand(
    load: () => Promise<Command>,
    args: readonly string[],
    help: boolean,
    ports: TerminalPorts,
  ): Promise<number>;
  showStart(started: StartScreen): Promise<void>;
  /** Opens the page in this person's browser. */
  openPage(page: string): Promise<void>;
}
