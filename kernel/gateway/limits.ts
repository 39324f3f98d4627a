/** Every bound of the gateway in one place; tests shorten them. */
export interface Limits {
  /** From the open socket to an accepted `connect`. */
  readonly handshakeMs: number;
  /** The largest message before `connect` was accepted, and after it. */
  readonly preAuthBytes: number;
  readonly maxPayload: number;
  /** What may wait to be sent to one client. */
  readonly maxBufferedBytes: number;
  readonly tickMs: number;
  /**
   * Sockets that have not connected yet. Many for this machine, where all programs share one address
   * and come back at once after a restart; few for others, together and for each address.
   */
  readonly preAuthSocketsLocal: number;
  readonly preAuthSockets: number;
  readonly preAuthSocketsPerIp: number;
  /** All sockets of one address elsewhere, and of this machine or a trusted proxy, which speak for many. */
  readonly socketsPerIp: number;
  readonly socketsLocal: number;
  readonly requestsInFlight: number;
  readonly headersMs: number;
  readonly requestMs: number;
  /** How long a client may take over its half of closing. */
  readonly closeMs: number;
}

export const defaultLimits: Limits = {
  handshakeMs: 10_000,
  preAuthBytes: 65_536,
  maxPayload: 26_214_400,
  maxBufferedBytes: 52_428_800,
  tickMs: 30_000,
  preAuthSocketsLocal: 12_000,
  preAuthSockets: 1_000,
  preAuthSocketsPerIp: 32,
  socketsPerIp: 256,
  socketsLocal: Number.POSITIVE_INFINITY,
  requestsInFlight: 256,
  headersMs: 10_000,
  requestMs: 30_000,
  closeMs: 5_000,
};
