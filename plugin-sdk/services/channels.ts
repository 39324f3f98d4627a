import type { Channel, OutboundMessage } from "../channel.ts";
import type { Caller, Scope } from "../gateway.ts";
import type { HookName, Hooks } from "../hooks.ts";
import type { Logger } from "../plugin.ts";
import type { KeyRules } from "../session-key.ts";
import type { KernelMethod } from "./method.ts";

/** The hook bus, for those who are part of the gateway. */
export interface RunHooks {
  run<Name extends HookName>(
    name: Name,
    event: Hooks[Name]["event"],
    context: Hooks[Name]["context"],
  ): Promise<Partial<Exclude<Hooks[Name]["result"], void>>>;
}

/** What the kernel lends the channels. */
export interface ChannelPorts {
  /** The live channel, its plugin activated when need be. */
  channel(id: string): Promise<Channel>;
  readonly methods: {
    call(
      name: string,
      params: unknown,
      options: { caller: Caller; signal: AbortSignal; accept?(payload: unknown): void },
    ): Promise<unknown>;
  };
  readonly hooks: RunHooks;
  config(): Readonly<Record<string, unknown>>;
  keys(): KeyRules;
  readonly log: Logger;
  now?(): number;
}

/** The methods of the service and the scope each one needs. */
export const channelMethods = {
  "channels.status": "operator.read",
  "channels.start": "operator.admin",
  "channels.stop": "operator.admin",
  "channels.logout": "operator.admin",
  "channels.pairing.list": "operator.pairing",
  "channels.pairing.approve": "operator.pairing",
  "channels.pairing.dismiss": "operator.pairing",
  "pairing.list": "operator.pairing",
  "pairing.approve": "operator.pairing",
  "pairing.revoke": "operator.pairing",
} as const satisfies Readonly<Record<string, Scope>>;

export interface LiveChannels {
  /**
   * Starts a channel and resolves after the first try; a failed one is tried again with
   * growing pauses until `signal` aborts.
   */
  start(channel: Channel | string, signal: AbortSignal): Promise<void>;
  deliver(
    channelId: string,
    message: OutboundMessage,
    signal: AbortSignal,
  ): Promise<{ readonly id: string } | undefined>;
  typing(
    channelId: string,
    target: Pick<OutboundMessage, "accountId" | "to" | "threadId">,
    signal: AbortSignal,
  ): Promise<void>;
  /** `channels.*` and `pairing.*`. */
  methods(): KernelMethod[];
}

/** Service "channels": where messages enter and leave, and who may talk. */
export interface ChannelsService {
  /** `credentials` is the folder of pairing requests and of who was let in. */
  openChannels(ports: ChannelPorts & { readonly credentials: string }): LiveChannels;
}
