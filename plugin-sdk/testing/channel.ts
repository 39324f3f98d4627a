import type { Channel, InboundMessage, OutboundMessage } from "../channel.ts";
import { RclawError } from "../errors.ts";

/** What a fake channel saw, and how to make it receive. */
export interface ChannelLog {
  readonly sent: readonly OutboundMessage[];
  readonly typingCount: number;
  /** Hands a message in, as the platform would. */
  receive(message: Partial<InboundMessage> & { text: string }): Promise<void>;
}

/** A channel without a platform: it keeps what it is told to send. `failures` are thrown first, one a send. */
export function fakeChannel(
  id = "fake",
  { failures = [], textLimit = 4_000 }: { failures?: readonly Error[]; textLimit?: number } = {},
): Channel & ChannelLog {
  const sent: OutboundMessage[] = [];
  const pending = [...failures];
  let typings = 0;
  let count = 0;
  let deliver: ((message: InboundMessage) => Promise<void>) | undefined;
  return {
    id,
    label: id,
    textLimit,
    sent,
    get typingCount() {
      return typings;
    },
    start(receive, signal) {
      deliver = receive;
      signal.addEventListener("abort", () => (deliver = undefined), { once: true });
      return Promise.resolve();
    },
    send(message) {
      const failure = pending.shift();
      if (failure) return Promise.reject(failure);
      sent.push(message);
      return Promise.resolve({ id: String(sent.length) });
    },
    typing() {
      typings++;
      return Promise.resolve();
    },
    accounts: () =>
      Promise.resolve([
        { accountId: "default", enabled: true, configured: true, running: deliver !== undefined },
      ]),
    receive(message) {
      if (!deliver) throw new RclawError("UNAVAILABLE", `channel "${id}" is not started`);
      const filled = {
        id: `m${++count}`,
        accountId: "default",
        chatType: "direct",
        peerId: "peer-1",
        sender: { id: "peer-1" },
      } as const;
      return deliver({ ...filled, ...message });
    },
  };
}
