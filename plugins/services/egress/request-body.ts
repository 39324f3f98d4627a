import { randomBytes } from "node:crypto";

/** A request body, ready to be written. Bytes can be sent again after a redirect or on a fresh connection; a stream cannot. */
export interface RequestBody {
  readonly bytes?: Uint8Array;
  readonly stream?: AsyncIterable<Uint8Array | string>;
  /** Used when the caller names none. */
  readonly contentType?: string;
}

/** Recognised by shape: naming the `FormData` or `Blob` global would load undici. */
export async function readBody(body: unknown): Promise<RequestBody> {
  if (body === undefined || body === null) return {};
  if (typeof body === "string") return { bytes: Buffer.from(body), contentType: "text/plain;charset=UTF-8" };
  if (body instanceof URLSearchParams) {
    return {
      bytes: Buffer.from(body.toString()),
      contentType: "application/x-www-form-urlencoded;charset=UTF-8",
    };
  }
  if (body instanceof ArrayBuffer) return { bytes: new Uint8Array(body) };
  if (ArrayBuffer.isView(body))
    return { bytes: new Uint8Array(body.buffer, body.byteOffset, body.byteLength) };
  if (isForm(body)) return readForm(body);
  if (isBlob(body)) {
    return { bytes: new Uint8Array(await body.arrayBuffer()), ...(body.type && { contentType: body.type }) };
  }
  if (isIterable(body)) return { stream: body };
  throw new TypeError(`a request body cannot be ${Object.prototype.toString.call(body)}`);
}

interface BlobLike {
  readonly type: string;
  readonly name?: string;
  arrayBuffer(): Promise<ArrayBuffer>;
}
type FormLike = Iterable<readonly [string, string | BlobLike]>;

function isForm(body: unknown): body is FormLike {
  return Object.prototype.toString.call(body) === "[object FormData]";
}

function isBlob(body: unknown): body is BlobLike {
  return /^\[object (?:Blob|File)\]$/.test(Object.prototype.toString.call(body));
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array | string> {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}

async function readForm(form: FormLike): Promise<RequestBody> {
  const boundary = `----rclaw${randomBytes(16).toString("hex")}`;
  const parts: Uint8Array[] = [];
  for (const [name, value] of form) {
    const isText = typeof value === "string";
    const file = isText
      ? ""
      : `; filename="${quoted(value.name ?? "blob")}"\r\nContent-Type: ${value.type || "application/octet-stream"}`;
    parts.push(
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"${file}\r\n\r\n`),
      isText ? Buffer.from(value.replaceAll(/\r?\n|\r/g, "\r\n")) : new Uint8Array(await value.arrayBuffer()),
      Buffer.from("\r\n"),
    );
  }
  parts.push(Buffer.from(`--${boundary}--\r\n`));
  return { bytes: Buffer.concat(parts), contentType: `multipart/form-data; boundary=${boundary}` };
}

function quoted(name: string): string {
  return name.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");
}
