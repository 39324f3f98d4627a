import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";

/** One client of the gateway, as cheap as a client can be: what is measured is the other end. */
export interface Wire {
  /** Bytes of one finished frame, made once by `frameOf` and sent as often as wanted. */
  send(frame: Buffer): void;
  /** Every text message but the answers to pings. */
  onText: (text: Buffer) => void;
  /** Reads nothing any more. */
  pause(): void;
  end(): void;
}

const opcodeText = 1;
const opcodeClose = 8;
const opcodePing = 9;
const connectMs = 30_000;

/**
 * A masked text frame, as a client must send them. The mask is zero, which the protocol
 * allows and which leaves the text as it is.
 */
function frameOf(text: string): Buffer {
  const body = Buffer.from(text);
  const wide = body.length > 125;
  if (body.length > 65_535) throw new Error("the bench sends no frame of this size");
  const head = Buffer.alloc(wide ? 8 : 6);
  head[0] = 0x81;
  head[1] = 0x80 | (wide ? 126 : body.length);
  if (wide) head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

export function requestFrame(id: string, method: string, params: object = {}): Buffer {
  return frameOf(JSON.stringify({ type: "req", id, method, params }));
}

/** Opens a socket, answers the challenge and resolves with hello-ok behind it. */
export function openWire({ port, token }: { port: number; token: string }): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const wire: Wire = {
      send: (frame) => void socket.write(frame),
      onText: (text) => {
        const message = JSON.parse(text.toString()) as { event?: string; ok?: boolean };
        if (message.event === "connect.challenge") socket.write(connectFrame(token));
        else if (message.ok === true) finish(undefined);
        else finish(new Error(`the gateway refused the connection: ${text.toString()}`));
      },
      pause: () => void socket.pause(),
      end: () => void socket.destroy(),
    };
    const timer = setTimeout(() => finish(new Error("no hello-ok in time")), connectMs);
    const finish = (error: Error | undefined): void => {
      clearTimeout(timer);
      socket.off("error", finish);
      wire.onText = ignore;
      if (!error) return resolve(wire);
      socket.destroy();
      reject(error);
    };
    socket.on("error", finish);
    socket.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    read(socket, wire, finish);
  });
}

const ignore = (): void => undefined;

function connectFrame(token: string): Buffer {
  return requestFrame("connect", "connect", {
    minProtocol: 3,
    maxProtocol: 4,
    client: {
      id: "gateway-client",
      version: "1",
      platform: "linux",
      mode: "backend",
      instanceId: randomUUID(),
    },
    role: "operator",
    scopes: ["operator.admin"],
    auth: { token },
  });
}

/** The answer to the upgrade, then frames; what is cut off waits for the next piece. */
function read(socket: Socket, wire: Wire, fail: (error: Error) => void): void {
  let rest: Buffer | undefined;
  let isUpgraded = false;
  socket.on("data", (piece: Buffer) => {
    const data = rest ? Buffer.concat([rest, piece]) : piece;
    rest = undefined;
    let at = 0;
    if (!isUpgraded) {
      const end = data.indexOf("\r\n\r\n");
      if (end === -1) return void (rest = data);
      const status = data.toString("latin1", 0, data.indexOf("\r\n"));
      if (!status.includes(" 101 ")) return fail(new Error(`no upgrade: ${status}`));
      isUpgraded = true;
      at = end + 4;
    }
    for (let end = endOf(data, at); end !== -1; end = endOf(data, at)) {
      take(socket, wire, data.subarray(at, end));
      at = end;
    }
    if (at < data.length) rest = data.subarray(at);
  });
}

/** Where the frame that begins at `at` ends; -1 when some of it is still to come. */
function endOf(data: Buffer, at: number): number {
  if (at + 2 > data.length) return -1;
  const short = (data[at + 1] ?? 0) & 0x7f;
  if (short < 126) return fits(data, at + 2 + short);
  const head = short === 126 ? 4 : 10;
  if (at + head > data.length) return -1;
  const length = short === 126 ? data.readUInt16BE(at + 2) : data.readUInt32BE(at + 6);
  return fits(data, at + head + length);
}

const fits = (data: Buffer, end: number): number => (end <= data.length ? end : -1);

function take(socket: Socket, wire: Wire, frame: Buffer): void {
  const opcode = (frame[0] ?? 0) & 0x0f;
  const short = (frame[1] ?? 0) & 0x7f;
  if (opcode === opcodeText) wire.onText(frame.subarray(short < 126 ? 2 : short === 126 ? 4 : 10));
  // A pong, masked and empty: a gateway closes connections that never answer.
  else if (opcode === opcodePing) socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]));
  else if (opcode === opcodeClose) socket.destroy();
}
