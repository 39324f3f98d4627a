/** Interface `reactor` of wit/since-v0.1.0, as both sides of it see it in JavaScript. */

export type Header = { readonly name: string; readonly value: string };

export interface PluginError {
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean | undefined;
  readonly details?: string | undefined;
}

export type WsData =
  | { readonly tag: "text"; readonly val: string }
  | { readonly tag: "bytes"; readonly val: Uint8Array };

interface Numbered {
  readonly id: number;
}

interface Piece extends Numbered {
  readonly payload: string;
}

interface EventShapes {
  call: Numbered & { readonly method: string; readonly params: string };
  cancel: number;
  webhook: Numbered & {
    readonly route: string;
    readonly method: string;
    readonly path: string;
    readonly query: string;
    readonly headers: readonly Header[];
    readonly body: Uint8Array;
  };
  "host-result": Numbered & {
    readonly outcome:
      | { readonly tag: "ok"; readonly val: string }
      | { readonly tag: "err"; readonly val: PluginError };
  };
  "host-chunk": Piece;
  "http-head": Numbered & {
    readonly status: number;
    readonly headers: readonly Header[];
    readonly url: string;
  };
  "http-chunk": Numbered & { readonly bytes: Uint8Array };
  "http-end": Numbered & { readonly error: PluginError | undefined };
  "ws-open": Numbered & { readonly protocol: string };
  "ws-message": Numbered & { readonly data: WsData };
  "ws-closed": Numbered & {
    readonly code: number;
    readonly reason: string;
    readonly error: PluginError | undefined;
  };
  timer: number;
}

interface ActionShapes {
  return: Piece;
  chunk: Piece;
  fail: Numbered & { readonly error: PluginError };
  "webhook-answer": Numbered & {
    readonly status: number;
    readonly headers: readonly Header[];
    readonly body: Uint8Array;
  };
  "http-request": Numbered & {
    readonly method: string;
    readonly url: string;
    readonly headers: readonly Header[];
    readonly body: Uint8Array | undefined;
    readonly redirect: "follow" | "manual" | "error" | undefined;
  };
  "http-cancel": number;
  "ws-connect": Numbered & {
    readonly url: string;
    readonly protocols: readonly string[];
    readonly headers: readonly Header[];
  };
  "ws-send": Numbered & { readonly data: WsData };
  "ws-close": Numbered & { readonly code: number; readonly reason: string };
  timer: Numbered & { readonly delayMs: number };
  "timer-cancel": number;
  inbound: Numbered & { readonly call: number; readonly message: string };
  "host-call": Numbered & {
    readonly method: string;
    readonly params: string;
    readonly call: number | undefined;
  };
  "host-cancel": number;
  log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: string | undefined;
  };
}

type Variant<Shapes> = {
  [Tag in keyof Shapes]: { readonly tag: Tag; readonly val: Shapes[Tag] };
}[keyof Shapes];

/** Something happened. */
export type ReactorEvent = Variant<EventShapes>;

/** What is to be done about it. */
export type ReactorAction = Variant<ActionShapes>;

/** The one export of a reactor guest. */
export interface Reactor {
  handle(event: ReactorEvent): ReactorAction[];
}
