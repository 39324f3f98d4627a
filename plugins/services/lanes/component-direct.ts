import { RclawError } from "@rclaw/plugin-sdk";
import type { Asked, Offer } from "@rclaw/plugin-sdk/boundary/calls";
import type { Incoming } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { Kind, Serving } from "./component.ts";
import { directImports, type Entry } from "./component-direct-imports.ts";
import { crashed, thrownByGuest } from "./component-errors.ts";
import { guestLog } from "./guest-log.ts";
import { parseGuestJson } from "./guest-json.ts";
import type { GuestPorts } from "./guest.ts";
import { refill, withinBudget } from "./lifting.ts";

interface ToolSpec {
  readonly name: string;
  readonly description: string;
  readonly params: string;
  readonly paths?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
}

interface ToolAnswer {
  readonly content: string;
  readonly isError?: boolean | undefined;
  readonly details?: string | undefined;
}

/** The exports of worlds tool-plugin, hook-plugin and tool-and-hook-plugin. */
interface Direct {
  readonly guest: { init(config: string): void };
  readonly tool?: {
    listTools(): readonly ToolSpec[];
    execute(name: string, params: string, context: object): ToolAnswer;
  };
  readonly hook?: {
    listHooks(): readonly {
      readonly name: string;
      readonly priority?: number | undefined;
      readonly timeoutMs?: number | undefined;
    }[];
    onEvent(name: string, event: string, context: string): string | undefined;
  };
}

/** Worlds with typed exports, whose imports block: one call at a time, from its begin to its end. */
export const directKind: Kind = {
  open(ports) {
    const log = guestLog(ports.host, ports.limits.logLines);
    const entry: Entry = { call: undefined, isTool: false };
    return {
      imports: directImports({ ...ports, hostSync: refilling(ports) }, log, entry),
      serve: (exported, broken) => serveDirect(exported as unknown as Direct, ports, entry, broken),
    };
  },
};

/** How often it may ask is limited elsewhere; what it hands over with one request has nothing to do with the next. */
const refilling =
  ({ hostSync, limits }: GuestPorts): GuestPorts["hostSync"] =>
  (...request) => {
    refill(limits.hostBytes);
    return hostSync(...request);
  };

function serveDirect(
  { guest, tool, hook }: Direct,
  ports: GuestPorts,
  entry: Entry,
  broken: (error: RclawError) => void,
): Serving {
  const { id: plugin, limits } = ports;
  const json = { maxBytes: limits.resultBytes, maxDepth: 64 };
  const parse = (text: string): unknown => parseGuestJson(text, json);
  const unsupported = (what: string): RclawError =>
    new RclawError(
      "INVALID_REQUEST",
      `plugin "${plugin}" does not support "${what}": its component has no such export`,
    );

  /** Runs an export. What is thrown is the guest's own error, or the end of the instance. */
  function enter<T>(call: number, isTool: boolean, fn: () => T): T {
    Object.assign(entry, { call, isTool });
    try {
      return ports.enter(() => withinBudget(limits.hostBytes, fn));
    } catch (thrown) {
      const own = thrownByGuest(thrown);
      if (own) throw own;
      const error = crashed(plugin, thrown);
      broken(error);
      throw error;
    } finally {
      Object.assign(entry, { call: undefined, isTool: false });
    }
  }

  function activate(id: number, { config }: Asked["activate"]["params"]): Offer {
    enter(id, false, () => guest.init(JSON.stringify(config ?? {})));
    const tools = tool ? enter(id, false, () => tool.listTools()) : [];
    const hooks = hook ? enter(id, false, () => hook.listHooks()) : [];
    return {
      tools: tools.map(({ name, description, params, paths, timeoutMs }) => ({
        name,
        description,
        params: parse(params) as Offer["tools"][number]["params"],
        ...(paths && { paths }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      })),
      hooks: hooks.map(({ name, priority, timeoutMs }) => ({
        name: name as Offer["hooks"][number]["name"],
        ...(priority !== undefined && { priority }),
        ...(timeoutMs !== undefined && { timeoutMs }),
      })),
      channels: [],
      providers: [],
      methods: [],
      routes: [],
      commands: [],
    };
  }

  function execute(id: number, { name, params, context }: Asked["tool.execute"]["params"]): unknown {
    if (!tool) throw unsupported("tool.execute");
    const { content, isError, details } = enter(id, true, () =>
      tool.execute(name, JSON.stringify(params), { channel: undefined, ...context }),
    );
    if (content.length > limits.resultBytes)
      throw new RclawError("TOO_LARGE", `plugin "${plugin}" answered more than ${limits.resultBytes} bytes`);
    return {
      content,
      ...(isError !== undefined && { isError }),
      ...(details !== undefined && { details: parse(details) }),
    };
  }

  function onEvent(id: number, { name, event, context }: Asked["hook"]["params"]): object | null {
    if (!hook) throw unsupported("hook");
    const text = enter(id, false, () => hook.onEvent(name, JSON.stringify(event), JSON.stringify(context)));
    const answer = text === undefined ? null : parse(text);
    if (typeof answer === "object" && !Array.isArray(answer)) return answer;
    throw new RclawError(
      "PLUGIN_FAILED",
      `plugin "${plugin}" answered hook ${name} with something else than an object`,
    );
  }

  function answer({ id, method, params, signal }: Incoming): unknown {
    if (signal.aborted) throw new RclawError("ABORTED", `${method} was aborted`);
    switch (method) {
      case "activate":
        return activate(id, params as Asked["activate"]["params"]);
      case "tool.execute":
        return execute(id, params as Asked["tool.execute"]["params"]);
      case "hook":
        return onEvent(id, params as Asked["hook"]["params"]);
      case "deactivate":
        return null;
    }
    throw unsupported(method);
  }

  return {
    // An async function, so that what is thrown is a rejection.
    handle: async (call) => answer(call),
    end() {
      // Nothing waits: a call has ended before anybody else has the thread.
    },
  };
}
