import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { ClientRequestArgs } from "node:http";
import { WebSocket } from "ws";

/** A frame exactly as it went over the wire. */
export interface Frame {
  readonly type?: string;
  readonly id?: string;
  readonly ok?: boolean;
  readonly event?: string;
  readonly seq?: number;
  readonly stateVersion?: { readonly presence: number; readonly health: number };
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into payloads of every shape
  readonly payload?: any;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly details?: Readonly<Record<string, unknown>>;
    readonly retryable?: boolean;
    readonly retryAfterMs?: number;
  };
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

export interface Client {
  readonly ws: WebSocket;
  /** Everything received, in order. */
  readonly frames: readonly Frame[];
  /** Resolves when the socket has closed. */
  readonly closed: Promise<Closed>;
  /** Sends text as it is; anything else as JSON. */
  send(frame: unknown, options?: { binary?: boolean }): void;
  /** The first frame, past or to come, that matches. Rejects when the socket closes before. */
  find(test: (frame: Frame) => boolean): Promise<Frame>;
  /** Sends a request with an id of its own and resolves with the first answer. */
  request(method: string, params?: unknown): Promise<Frame>;
  /** Waits for connect.challenge. */
  nonce(): Promise<string>;
  close(): Promise<Closed>;
}

/** A socket that speaks literal frames: what it sends is what a test wrote. */
export function openClient(url: string, options: ClientRequestArgs = {}): Promise<Client> {
  const ws = new WebSocket(url, { ...options, perMessageDeflate: false });
  const frames: Frame[] = [];
  const waiters = new Set<() => void>();
  let end: Closed | undefined;
  let count = 0;
  ws.on("message", (data: Buffer) => {
    frames.push(JSON.parse(data.toString()) as Frame);
    for (const wake of waiters) wake();
  });
  const closed = new Promise<Closed>((resolve) => {
    ws.on("close", (code, reason) => {
      end = { code, reason: reason.toString() };
      for (const wake of waiters) wake();
      resolve(end);
    });
  });

  function find(test: (frame: Frame) => boolean): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const frame = frames.find(test);
        if (!frame && !end) return;
        waiters.delete(look);
        if (frame) resolve(frame);
        else reject(new Error(`the socket closed (${end?.code} "${end?.reason}") before the frame came`));
      };
      waiters.add(look);
      look();
    });
  }

  const client: Client = {
    ws,
    frames,
    closed,
    find,
    send(frame, { binary = false } = {}) {
      const text = typeof frame === "string" ? frame : JSON.stringify(frame);
      ws.send(binary ? Buffer.from(text) : text, { binary });
    },
    request(method, params) {
      const id = `t${++count}`;
      client.send({ type: "req", id, method, ...(params !== undefined && { params }) });
      return find((frame) => frame.type === "res" && frame.id === id);
    },
    async nonce() {
      return ((await find((frame) => frame.event === "connect.challenge")).payload as { nonce: string })
        .nonce;
    },
    close() {
      ws.close();
      return closed;
    },
  };
  return new Promise((resolve, reject) => {
    ws.on("error", (error) => (ws.readyState === WebSocket.CONNECTING || !end ? reject(error) : undefined));
    ws.once("open", () => resolve(client));
  });
}

export interface Device {
  readonly id: string;
  readonly publicKey: string;
  readonly key: KeyObject;
}

export function createDevice(): Device {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  return {
    id: createHash("sha256").update(raw).digest("hex"),
    publicKey: raw.toString("base64url"),
    key: privateKey,
  };
}

/** The parts of `connect` params that a signature covers. */
export interface SignedParams {
  readonly client: {
    readonly id: string;
    readonly mode: string;
    readonly platform: string;
    readonly deviceFamily?: string;
  };
  readonly role?: string;
  readonly scopes?: readonly string[];
  readonly auth?: { readonly token?: string; readonly deviceToken?: string };
}

/** The `device` member that proves possession of the key, in one of the protocol's three versions. */
export function signDevice(
  device: Device,
  params: SignedParams,
  {
    version,
    nonce,
    signedAt = Date.now(),
  }: { version: "v1" | "v2" | "v3"; nonce: string; signedAt?: number },
): object {
  const { client, role = "operator", scopes = [], auth } = params;
  const token = auth?.token ?? auth?.deviceToken ?? "";
  const parts: unknown[] = [
    version,
    device.id,
    client.id,
    client.mode,
    role,
    scopes.join(","),
    signedAt,
    token,
  ];
  if (version !== "v1") parts.push(nonce);
  if (version === "v3")
    parts.push(client.platform.trim().toLowerCase(), (client.deviceFamily ?? "").trim().toLowerCase());
  const signature = sign(null, Buffer.from(parts.join("|")), device.key).toString("base64url");
  return {
    id: device.id,
    publicKey: device.publicKey,
    signature,
    signedAt,
    ...(version !== "v1" && { nonce }),
  };
}

export interface ConnectOptions {
  readonly token?: string;
  readonly password?: string;
  readonly role?: string;
  readonly scopes?: readonly string[];
  readonly client?: Readonly<Record<string, unknown>>;
  readonly caps?: readonly string[];
  /** What a node says that it can do. */
  readonly commands?: readonly string[];
  readonly permissions?: Readonly<Record<string, boolean>>;
  readonly pathEnv?: string;
  readonly minProtocol?: number;
  readonly maxProtocol?: number;
  readonly device?: Device;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Opens a socket and goes through the handshake. The answer may be a refusal. */
export async function connectClient(
  url: string,
  options: ConnectOptions = {},
): Promise<{ client: Client; answer: Frame }> {
  const client = await openClient(url, options.headers ? { headers: options.headers } : {});
  const nonce = await client.nonce();
  const { token, password, role = "operator", scopes = ["operator.admin"], caps = [] } = options;
  const { commands, permissions, pathEnv } = options;
  const params = {
    minProtocol: options.minProtocol ?? 3,
    maxProtocol: options.maxProtocol ?? 3,
    client: { id: "cli", version: "0.0.1", platform: "linux", mode: "cli", ...options.client },
    caps,
    role,
    scopes,
    ...(commands && { commands }),
    ...(permissions && { permissions }),
    ...(pathEnv !== undefined && { pathEnv }),
    auth: { ...(token !== undefined && { token }), ...(password !== undefined && { password }) },
  };
  const device = options.device && signDevice(options.device, params, { version: "v3", nonce });
  const answer = await client.request("connect", { ...params, ...(device && { device }) });
  return { client, answer };
}
