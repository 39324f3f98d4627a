import { RclawError } from "@rclaw/plugin-sdk";
import type { SecretHandles, SecretTarget } from "@rclaw/plugin-sdk/services/egress";
import { encodeSegment, type Mask } from "./mask.ts";
import type { RequestBody } from "./request-body.ts";

const prefix = "rclaw-secret-";
const digits = 32;
const handlePattern = /rclaw-secret-[0-9a-f]{32}/g;

/** What a request may carry handles in, and carries secrets in afterwards. */
export interface Carrier {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
}

/** The same, ready for the wire. Nobody but the socket may see it. */
export interface Substituted {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
}

export interface Substitution {
  request(carrier: Carrier): Promise<Substituted>;
  text(value: string): Promise<string>;
}

export const plain = ({ url, headers, body }: Carrier): Substituted => ({
  path: url.pathname + url.search,
  headers,
  body,
});

export const mayHoldHandle = (text: string): boolean => text.includes(prefix);

/** Puts secrets in the place of their handles, for one target, and tells the mask of each. */
export function createSubstitution(
  secrets: SecretHandles,
  target: SecretTarget,
  owner: string,
  mask: Mask,
): Substitution {
  async function reveal(handle: string): Promise<string> {
    const { secret } = await secrets.reveal(handle, target);
    mask.hideSecret(secret, handle);
    return secret;
  }

  async function replace(text: string, encode: (secret: string) => string): Promise<string> {
    const found = new Map<string, string>();
    for (const [handle] of text.matchAll(handlePattern)) found.set(handle, await reveal(handle));
    if (found.size === 0) return text;
    return text.replaceAll(handlePattern, (handle) => encode(found.get(handle) ?? handle));
  }

  async function path({ hostname, pathname, search }: URL): Promise<string> {
    if (mayHoldHandle(hostname)) throw misplaced(owner, "a host name", target.host);
    return (await inUrl(pathname, encodeSegment)) + (await inUrl(search, encodeURIComponent));
  }

  const inUrl = (text: string, encode: (secret: string) => string): Promise<string> | string => {
    const decoded = decodeHandles(text);
    return mayHoldHandle(decoded) ? replace(decoded, encode) : text;
  };

  async function header(name: string, value: string): Promise<string> {
    if (mayHoldHandle(name)) throw misplaced(owner, "the name of a header", target.host);
    const basic = /^Basic +([A-Za-z0-9+/_-]+=*)\s*$/i.exec(value);
    const pair = Buffer.from(basic?.[1] ?? "", "base64").toString("latin1");
    if (basic && mayHoldHandle(pair)) {
      const filled = await replace(pair, utf8);
      const encoded = Buffer.from(filled, "latin1").toString("base64");
      const original = Buffer.from(pair, "latin1").toString("base64");
      if (filled !== pair) {
        mask.hide(encoded, original);
        mask.hide(encoded.replace(/=+$/, ""), original.replace(/=+$/, ""));
      }
      return `Basic ${encoded}`;
    }
    return mayHoldHandle(value) ? replace(value, forHeader(target.host)) : value;
  }

  async function headersOf(given: Carrier["headers"]): Promise<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) headers[name] = await header(name, value);
    return headers;
  }

  async function bytesOf(bytes: Uint8Array, type: string): Promise<Uint8Array> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const isForm = type.startsWith("application/x-www-form-urlencoded");
    if (!isForm && !buffer.includes(prefix)) return bytes;
    // A byte a character, so that whatever else is in there stays what it is.
    const text = buffer.toString("latin1");
    const readable = isForm ? decodeHandles(text) : text;
    return mayHoldHandle(readable) ? Buffer.from(await replace(readable, forBody(type)), "latin1") : bytes;
  }

  async function* streamOf(
    pieces: AsyncIterable<Uint8Array | string>,
    type: string,
  ): AsyncGenerator<Uint8Array> {
    let rest = "";
    for await (const piece of pieces) {
      const text = rest + Buffer.from(piece as Uint8Array).toString("latin1");
      const cut = beginningAt(text);
      rest = text.slice(cut);
      const done = await replace(text.slice(0, cut), forBody(type));
      if (done !== "") yield Buffer.from(done, "latin1");
    }
    if (rest !== "") yield Buffer.from(rest, "latin1");
  }

  return {
    async request({ url, headers: given, body }) {
      const headers = await headersOf(given);
      const type = (given["content-type"] ?? "").toLowerCase();
      const bytes = body.bytes && (await bytesOf(body.bytes, type));
      if (bytes) headers["content-length"] = String(bytes.length);
      return {
        path: await path(url),
        headers,
        body: {
          ...(bytes && { bytes }),
          ...(body.stream && { stream: streamOf(body.stream, type) }),
        },
      };
    },
    text: (value) => (mayHoldHandle(value) ? replace(value, (secret) => secret) : Promise.resolve(value)),
  };
}

/** `%72claw…` is the same URL: what needs no encoding is decoded before anybody looks for a handle. */
function decodeHandles(text: string): string {
  return text.replaceAll(/%[2-7][0-9a-f]/gi, (code) => {
    const character = decodeURIComponent(code);
    return /[a-z0-9-]/.test(character) ? character : code;
  });
}

/** Where the end of a text may be the beginning of a handle. */
function beginningAt(text: string): number {
  for (let at = Math.max(0, text.length - prefix.length - digits + 1); at < text.length; at++) {
    const end = text.slice(at);
    const hex = end.slice(prefix.length);
    if (prefix.startsWith(end) || (end.startsWith(prefix) && /^[0-9a-f]*$/.test(hex))) return at;
  }
  return text.length;
}

const utf8 = (secret: string): string => Buffer.from(secret).toString("latin1");

function forHeader(host: string): (secret: string) => string {
  return (secret) => {
    if (/^[\t\x20-\x7e\x80-\xff]*$/.test(secret)) return secret;
    throw new RclawError(
      "INVALID_REQUEST",
      `a secret for ${host} holds characters that a header cannot carry; send it in the body, or store it without line breaks`,
      { details: { host } },
    );
  };
}

/** So that a secret stays one value where the body has a grammar. */
function forBody(type: string): (secret: string) => string {
  if (type.startsWith("application/x-www-form-urlencoded")) return encodeURIComponent;
  if (/^application\/(?:[\w.-]+\+)?json/.test(type))
    return (secret) => utf8(JSON.stringify(secret).slice(1, -1));
  return utf8;
}

function misplaced(owner: string, where: string, host: string): RclawError {
  return new RclawError("EGRESS_DENIED", `plugin "${owner}" puts the handle of a secret into ${where}`, {
    details: { plugin: owner, host },
  });
}
