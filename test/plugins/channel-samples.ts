import type { ChannelAccount, InboundMessage } from "@rclaw/plugin-sdk";

export const message = (fields: Partial<InboundMessage> = {}): InboundMessage => ({
  id: "42:1",
  accountId: "default",
  chatType: "direct",
  peerId: "42",
  sender: { id: "42", name: "Alice" },
  text: "hello",
  messageId: "1",
  ...fields,
});

export const account: ChannelAccount = {
  accountId: "default",
  enabled: true,
  configured: true,
  running: true,
  connected: true,
  mode: "polling",
};
