import type { CallContext } from "@extism/extism";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { Verbs } from "@rclaw/plugin-sdk/boundary/calls";
import { toWireError } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { GuestPorts } from "./guest.ts";
import { type GuestLog, type LogLevel } from "./guest-log.ts";
import { parseGuestJson } from "./guest-json.ts";
import { performVerb } from "./extism-verbs.ts";

/** The SDK numbers blocks with 16 bits and wraps without a word. */
const maxBlocks = 20_000;
const maxKeyBytes = 1_024;

/** What one entry into the guest has asked for and answered. */
export interface Entry {
  /** The host's number of the call. */
  readonly call: number | undefined;
  /** Where a tool is called from. */
  readonly place: object | undefined;
  bytes: number;
  blocks: number;
  hostCalls: number;
  output: Piece | undefined;
  error: Piece | undefined;
  /** Why it may go no further. Kept, because a guest with exception handling could catch it. */
  failure: RclawError | undefined;
}

interface Piece {
  readonly address: bigint;
  readonly length: number;
}

export const newEntry = (call?: number, place?: object): Entry => ({
  call,
  place,
  bytes: 0,
  blocks: 1,
  hostCalls: 0,
  output: undefined,
  error: undefined,
  failure: undefined,
});

export interface HostState {
  entry: Entry;
  config: Readonly<Record<string, unknown>>;
  /** The SDK's memory blocks; known from the first call of the guest on. */
  context: CallContext | undefined;
}

type HostFunctions = Readonly<Record<string, (context: CallContext, ...args: never[]) => unknown>>;

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });
const lenient = new TextDecoder();

/** The text of a block, or of its first `length` bytes. */
export function textOf(context: CallContext, { address, length }: Piece): string {
  const block = context.read(address);
  if (block === null) return "";
  try {
    return strict.decode(block.bytes().subarray(0, length));
  } catch (error) {
    throw new RclawError("PLUGIN_FAILED", "the guest's text is not UTF-8", { cause: error });
  }
}

/**
 * The host's side of the Extism ABI, where its SDK has no limits or more than a plugin may have. Addresses are block
 * numbers that the SDK looks up, so no number that a guest makes up reads anything else of this process.
 */
export function extismFunctions(state: HostState, ports: GuestPorts, log: GuestLog): HostFunctions {
  const { limits, id } = ports;
  const variables = new Map<string, Uint8Array>();
  let [kept, status, headers] = [0, 0, "{}"];

  const end = (error: RclawError): RclawError => (state.entry.failure ??= error);

  function take(size: number): void {
    const { entry } = state;
    if (entry.failure) throw entry.failure;
    if (++entry.blocks > maxBlocks)
      throw end(
        new RclawError("TOO_LARGE", `plugin "${id}" asked for more than ${maxBlocks} blocks in one call`),
      );
    if (!(size >= 0 && entry.bytes + size <= limits.hostBytes))
      throw end(
        new RclawError(
          "TOO_LARGE",
          `plugin "${id}" asked for more than ${limits.hostBytes} bytes of the host's memory in one call`,
        ),
      );
    entry.bytes += size;
  }

  function store(context: CallContext, bytes: Uint8Array): bigint {
    take(bytes.byteLength);
    // The SDK hands out the whole buffer behind a view, and small ones share theirs with others.
    return context.store(bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice());
  }

  function block(context: CallContext, address: bigint, where: string): Uint8Array {
    const found = context.read(address);
    if (found === null)
      throw end(new RclawError("PLUGIN_FAILED", `plugin "${id}" gave ${where} an address of nothing`));
    return found.bytes();
  }

  function text(context: CallContext, address: bigint, where: string): string {
    const bytes = block(context, address, where);
    try {
      return strict.decode(bytes);
    } catch {
      throw end(new RclawError("PLUGIN_FAILED", `plugin "${id}" gave ${where} something that is not UTF-8`));
    }
  }

  function piece(context: CallContext, address: bigint, length: bigint, where: string): Piece {
    const { byteLength } = block(context, address, where);
    if (length < 0n || length > BigInt(byteLength))
      throw end(new RclawError("PLUGIN_FAILED", `plugin "${id}" gave ${where} more than it has`));
    if (length > BigInt(limits.resultBytes))
      throw end(new RclawError("TOO_LARGE", `plugin "${id}" answered more than ${limits.resultBytes} bytes`));
    return { address, length: Number(length) };
  }

  function countCall(): void {
    const { entry } = state;
    if (entry.failure) throw entry.failure;
    if (++entry.hostCalls > limits.hostCalls)
      throw end(
        new RclawError(
          "RATE_LIMITED",
          `plugin "${id}" asked the host more than ${limits.hostCalls} times in one call`,
        ),
      );
  }

  const writer =
    (level: LogLevel) =>
    (context: CallContext, address: bigint): void => {
      const found = log.hasRoom() ? context.read(address) : null;
      if (found !== null) log.write(level, lenient.decode(found.bytes().subarray(0, 16_384)));
    };

  function ask(context: CallContext, address: bigint): bigint {
    countCall();
    const asked = text(context, address, "rclaw_call");
    const answer = (() => {
      try {
        const request = parseGuestJson(asked, { maxBytes: limits.hostBytes, maxDepth: 64 });
        return { ok: performVerb(request, { ports, log, entry: state.entry }) ?? null };
      } catch (error) {
        if (!isRclawError(error)) throw error;
        return { err: toWireError(error) };
      }
    })();
    return store(context, encoder.encode(JSON.stringify(answer)));
  }

  function httpRequest(context: CallContext, address: bigint, bodyAddress: bigint): bigint {
    countCall();
    [status, headers] = [0, "{}"];
    const asked = parseGuestJson(text(context, address, "http_request"), {
      maxBytes: limits.hostBytes,
      maxDepth: 8,
    }) as { url?: unknown; method?: unknown; headers?: unknown; header?: unknown } | null;
    const sent = Object.entries(asked?.headers ?? asked?.header ?? {});
    const body = bodyAddress === 0n ? undefined : block(context, bodyAddress, "http_request").slice();
    try {
      const answer = ports.hostSync(
        "http.send",
        {
          method: typeof asked?.method === "string" ? asked.method : "GET",
          url: typeof asked?.url === "string" ? asked.url : "",
          headers: sent.map(([name, value]) => [name, String(value)] as const),
          ...(body && { body }),
        } satisfies Verbs["http.send"]["params"],
        state.entry.call,
      ) as Verbs["http.send"]["result"];
      [status, headers] = [answer.status, JSON.stringify(Object.fromEntries(answer.headers))];
      return store(context, answer.body);
    } catch (error) {
      // This ABI has no way to say why, so the call ends with the reason instead.
      throw isRclawError(error) ? end(error) : error;
    }
  }

  function variableKey(context: CallContext, address: bigint): string {
    const key = text(context, address, "a variable");
    if (key.length <= maxKeyBytes) return key;
    throw end(
      new RclawError("TOO_LARGE", `plugin "${id}": a variable's name has at most ${maxKeyBytes} bytes`),
    );
  }

  function setVariable(context: CallContext, keyAddress: bigint, address: bigint): void {
    const key = variableKey(context, keyAddress);
    const value = address === 0n ? undefined : block(context, address, "var_set").slice();
    const before = variables.get(key);
    const size = kept - (before ? key.length + before.length : 0) + (value ? key.length + value.length : 0);
    if (size > limits.hostBytes)
      throw end(
        new RclawError("TOO_LARGE", `plugin "${id}" keeps more than ${limits.hostBytes} bytes in variables`),
      );
    kept = size;
    if (value) variables.set(key, value);
    else variables.delete(key);
  }

  return {
    alloc(context: CallContext, size: bigint) {
      take(size < 0n || size > BigInt(limits.hostBytes) ? Infinity : Number(size));
      return context.alloc(size);
    },
    output_set(context: CallContext, address: bigint, length: bigint) {
      state.context = context;
      state.entry.output = piece(context, address, length, "output_set");
    },
    error_set(context: CallContext, address: bigint) {
      state.context = context;
      state.entry.error =
        address === 0n ? undefined : piece(context, address, context.length(address), "error_set");
    },
    config_get(context: CallContext, address: bigint) {
      const key = text(context, address, "config_get");
      if (!Object.hasOwn(state.config, key)) return 0n;
      const value = state.config[key];
      return store(context, encoder.encode(typeof value === "string" ? value : JSON.stringify(value)));
    },
    var_get(context: CallContext, address: bigint) {
      const value = variables.get(variableKey(context, address));
      return value ? store(context, value.slice()) : 0n;
    },
    var_set: setVariable,
    http_request: httpRequest,
    http_status_code: () => status,
    http_headers: (context: CallContext) => store(context, encoder.encode(headers)),
    get_log_level: () => 0,
    log_trace: writer("debug"),
    log_debug: writer("debug"),
    log_info: writer("info"),
    log_warn: writer("warn"),
    log_error: writer("error"),
    rclaw_call: ask,
  };
}
