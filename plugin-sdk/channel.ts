/** A message as it came from a platform, in the house's words. */
export interface InboundMessage {
  /** Unique within the account; a redelivery must carry the same id, it is how duplicates are recognised. */
  readonly id: string;
  readonly accountId: string;
  /** When the platform cannot tell, say "group": the stricter rules apply. */
  readonly chatType: "direct" | "group" | "channel";
  /** The conversation: where an answer goes. Immutable platform id, never a name. */
  readonly peerId: string;
  readonly sender: { readonly id: string; readonly name?: string };
  readonly text: string;
  readonly threadId?: string;
  /** The platform's id of this message, if a reply can refer to it. */
  readonly messageId?: string;
  /** Milliseconds since the epoch, as the platform says. */
  readonly timestamp?: number;
  /** The bot was named or replied to. Only matters in groups. */
  readonly mentioned?: boolean;
  /** For people: the group's or channel's title. */
  readonly peerName?: string;
}

export interface OutboundMessage {
  readonly accountId: string;
  readonly to: string;
  /** Markdown. The channel turns it into the platform's markup and splits it at its own limit. */
  readonly text: string;
  readonly threadId?: string;
  /** Platform id of the message to answer. */
  readonly replyTo?: string;
}

/** State of one account of a channel; the `channels.status` row of the gateway protocol. */
export interface ChannelAccount {
  readonly accountId: string;
  readonly name?: string;
  readonly enabled: boolean;
  /** All that is needed to connect is there. */
  readonly configured: boolean;
  readonly running: boolean;
  readonly connected?: boolean;
  readonly mode?: string;
  readonly lastStartAt?: number;
  readonly lastInboundAt?: number;
  readonly lastOutboundAt?: number;
  readonly lastError?: string;
  /** What the platform answered when asked; only after a probe. */
  readonly probe?: { readonly ok: boolean; readonly error?: string; readonly name?: string };
}

/**
 * A chat platform. It is a client like any other: it hands in what it received
 * and sends what it is given; who may talk, sessions and runs are the kernel's.
 */
export interface Channel {
  /** Declared under `contributes.channels`. */
  readonly id: string;
  /** For people: "Telegram". */
  readonly label: string;
  /** Characters one message may hold; longer texts are split by the channel. */
  readonly textLimit: number;
  /**
   * Starts receiving on every configured account and resolves once it does.
   * `receive` resolves when the message is durable or was refused for good: only
   * then acknowledge it to the platform. It rejects when the message could not be
   * stored: leave it unacknowledged, so that the platform sends it again.
   * Stop when `signal` aborts.
   */
  start(receive: (message: InboundMessage) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** Sends one message; resolves with the platform's id of the last part. Throw UNAVAILABLE with `retryable` when a later try may work. */
  send(message: OutboundMessage, signal: AbortSignal): Promise<{ readonly id: string }>;
  /** Shows "typing" for a few seconds. Failures are not worth reporting. */
  typing?(target: Pick<OutboundMessage, "accountId" | "to" | "threadId">, signal: AbortSignal): Promise<void>;
  /** The accounts as they are now. With `probe` ask the platform, within the signal's time. */
  accounts(options: { probe: boolean; signal: AbortSignal }): Promise<readonly ChannelAccount[]>;
  /** Forgets the account's login on the platform's side, where there is such a thing. */
  logout?(accountId: string, signal: AbortSignal): Promise<void>;
}
