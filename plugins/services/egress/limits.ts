import type { EgressLimits } from "@rclaw/plugin-sdk/services/egress";
/** A model may think for minutes before its first byte and stream for longer; a plain answer that trickles is an attack or a fault. */
export const defaultLimits: EgressLimits = {
  maxBytes: 5 * 1024 * 1024,
  maxStreamBytes: 64 * 1024 * 1024,
  connectMs: 15_000,
  headersMs: 300_000,
  bodyMs: 30_000,
  streamMs: 1_800_000,
};
