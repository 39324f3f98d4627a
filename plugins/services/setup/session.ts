import { randomUUID } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";

interface Option {
  readonly value: string;
  readonly label: string;
  readonly hint?: string;
}

/** One question of the wizard, or something it says; the kinds are the protocol's. */
interface Step {
  readonly id: string;
  readonly type: "note" | "select" | "text" | "confirm";
  readonly title?: string;
  readonly message?: string;
  readonly options?: readonly Option[];
  readonly initialValue?: unknown;
  readonly placeholder?: string;
  readonly sensitive?: boolean;
  /** The app shows it; nothing happens here meanwhile. */
  readonly executor: "client";
}

type Status = "running" | "done" | "cancelled" | "error";

/** Puts one step before the person and resolves with the answer. Rejects when they give up. */
export type Ask = (step: Omit<Step, "id" | "executor">) => Promise<unknown>;

export interface Turn {
  readonly done: boolean;
  readonly step?: Step;
  readonly status: Status;
  readonly error?: string;
}

export interface WizardSession {
  /** The step that waits for an answer; when none does yet, the next one or the end. */
  next(): Promise<Turn>;
  answer(stepId: string, value: unknown): void;
  cancel(): void;
  status(): { readonly status: Status; readonly error?: string };
}

const maxText = 65_536;

/** Runs the flow between the answers of a person, whose app may go away and come back. */
export function createSession(flow: (ask: Ask) => Promise<void>): WizardSession {
  let status: Status = "running";
  let error: string | undefined;
  let pending: { readonly step: Step; resolve(value: unknown): void; reject(why: Error): void } | undefined;
  let waiting: (() => void)[] = [];

  /** Something that `next` waits for is there. */
  function wake(): void {
    const woken = waiting;
    waiting = [];
    for (const go of woken) go();
  }

  function end(how: Exclude<Status, "running">, why?: string): void {
    if (status !== "running") return;
    status = how;
    error = why;
    wake();
  }

  const ask: Ask = (step) =>
    new Promise((resolve, reject) => {
      if (status !== "running") return reject(new Error("wizard: session not running"));
      pending = { step: { ...step, id: randomUUID(), executor: "client" }, resolve, reject };
      wake();
    });

  const state = (): { status: Status; error?: string } => ({ status, ...(error !== undefined && { error }) });

  void Promise.resolve()
    .then(() => flow(ask))
    .then(
      () => end("done"),
      (why: unknown) => end("error", (why as Error).message),
    );

  return {
    async next() {
      if (!pending && status === "running") await new Promise<void>((resolve) => waiting.push(resolve));
      return pending ? { done: false, step: pending.step, status } : { done: true, ...state() };
    },
    answer(stepId, value) {
      if (pending?.step.id !== stepId) throw invalid("wizard: no pending step");
      const { step, resolve } = pending;
      const given = checked(step, value);
      pending = undefined;
      resolve(given);
    },
    cancel() {
      const open = pending;
      pending = undefined;
      end("cancelled", "cancelled");
      open?.reject(new Error("cancelled"));
    },
    status: state,
  };
}

/** What cannot be an answer leaves the question where it is. */
function checked({ type, options = [] }: Step, value: unknown): unknown {
  if (type === "confirm") return Boolean(value);
  if (type === "note") return undefined;
  const isText = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  if (!isText && value !== undefined && value !== null) throw invalid("wizard: the answer is no text");
  const text = value === undefined || value === null ? "" : String(value);
  if (text.length > maxText) throw invalid(`wizard: the answer is longer than ${maxText} characters`);
  if (type === "select" && !options.some((option) => option.value === text))
    throw invalid("wizard: the answer is none of the options");
  return text;
}

const invalid = (message: string): RclawError => new RclawError("INVALID_REQUEST", message);
