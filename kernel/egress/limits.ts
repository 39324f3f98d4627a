/** What one owner's requests may cost. */
export interface EgressLimits {
  /** Decoded bytes of an answer read as a whole (`json`, `text`, `arrayBuffer`). */
  readonly maxBytes: number;
  /** Decoded bytes of an answer read piece by piece through `body`. */
  readonly maxStreamBytes: number;
  /** From the call to an open connection, name resolution included. */
  readonly connectMs: number;
  /** From the call to the answer's headers. */
  readonly headersMs: number;
  /** From the headers to the end of an answer read as a whole, or never read at all. */
  readonly bodyMs: number;
  /** From the headers to the end of an answer read piece by piece. */
  readonly streamMs: number;
}

/** A model may think for minutes before its first byte and stream for longer; a plain answer that trickles is an attack or a fault. */
export const defaultLimits: EgressLimits = {
  maxBytes: 5 * 1024 * 1024,
  maxStreamBytes: 64 * 1024 * 1024,
  connectMs: 15_000,
  headersMs: 300_000,
  bodyMs: 30_000,
  streamMs: 1_800_000,
};
