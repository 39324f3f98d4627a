import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signWith,
  timingSafeEqual,
  verify as verifyWith,
} from "node:crypto";
import { RclawError } from "../errors.ts";
import type { SignRequest, VerifyRequest } from "../plugin.ts";

const hashes: readonly unknown[] = ["sha1", "sha256", "sha512"];
const encodings: readonly unknown[] = ["hex", "base64", "base64url"];
const algorithms: readonly unknown[] = ["HS256", "RS256", "ES256"];

/** What `ctx.secrets.sign` answers. `name` is the secret's, for errors; the secret itself is in none. */
export function sign(name: string, secret: string, request: SignRequest): string {
  if ("hmac" in request) return hmacOf(name, secret, request).toString(encodingOf(request.encoding));
  if (!algorithms.includes(request.jwt)) throw notUnderstood(`jwt must be one of ${algorithms.join(", ")}`);
  const header = part({ typ: "JWT", ...request.header, alg: request.jwt });
  const text = `${header}.${part(request.claims)}`;
  return `${text}.${signatureOf(name, secret, request.jwt, text).toString("base64url")}`;
}

/** What `ctx.secrets.verify` answers: a signature that cannot be read is a wrong one. */
export function verify(name: string, secret: string, request: VerifyRequest): boolean {
  if ("equals" in request) return isSame(digest(secret), digest(request.equals));
  const given = Buffer.from(text(request.signature, "signature"), encodingOf(request.encoding));
  if ("hmac" in request) return isSame(hmacOf(name, secret, request), given);
  if (!("ed25519" in request)) throw notUnderstood("it has neither hmac, equals nor ed25519");
  const key = ed25519Key(name, secret);
  return given.length === 64 && verifyWith(null, bytesOf(request.data), key, given);
}

function hmacOf(
  name: string,
  secret: string,
  { hmac, data }: { readonly hmac: string; readonly data: string | Uint8Array },
): Buffer {
  if (!hashes.includes(hmac)) throw notUnderstood(`hmac must be one of ${hashes.join(", ")}`);
  if (secret === "") throw unusable(name, "it is empty");
  return createHmac(hmac, secret).update(bytesOf(data)).digest();
}

function signatureOf(name: string, secret: string, algorithm: string, text: string): Buffer {
  if (algorithm === "HS256") return hmacOf(name, secret, { hmac: "sha256", data: text });
  const wanted = algorithm === "RS256" ? "rsa" : "ec";
  const key = readKey(name, "a private key in PEM", () => createPrivateKey(secret));
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType !== wanted || (wanted === "ec" && curve !== "prime256v1"))
    throw unusable(
      name,
      `${algorithm} needs ${wanted === "rsa" ? "an RSA key" : "a key on the curve P-256"}`,
    );
  return signWith("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
}

/** Platforms show these keys as 64 hex digits; others as base64 or PEM. */
function ed25519Key(name: string, secret: string): KeyObject {
  const value = secret.trim();
  const key = readKey(name, "an Ed25519 public key in hex, base64 or PEM", () => {
    if (value.startsWith("-----")) return createPublicKey(value);
    const raw = Buffer.from(value, /^[0-9a-f]{64}$/i.test(value) ? "hex" : "base64");
    return createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") },
      format: "jwk",
    });
  });
  if (key.asymmetricKeyType !== "ed25519") throw unusable(name, "it is another kind of key than Ed25519");
  return key;
}

function readKey(name: string, what: string, read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch {
    // The library's own words can quote the key.
    throw unusable(name, `it is not ${what}`);
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Of one length, whatever is compared. */
const digest = (value: unknown): Buffer => createHash("sha256").update(text(value, "equals")).digest();

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function bytesOf(data: unknown): Uint8Array {
  if (typeof data === "string") return Buffer.from(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw notUnderstood("data is neither text nor bytes");
}

function text(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  throw notUnderstood(`${what} is no text`);
}

function encodingOf(encoding: unknown = "hex"): "hex" | "base64" | "base64url" {
  if (encodings.includes(encoding)) return encoding as "hex" | "base64" | "base64url";
  throw notUnderstood(`encoding must be one of ${encodings.join(", ")}`);
}

function notUnderstood(reason: string): RclawError {
  return new RclawError("INVALID_REQUEST", `this cannot be signed or verified: ${reason}`);
}

function unusable(name: string, reason: string): RclawError {
  return new RclawError(
    "INVALID_REQUEST",
    `secret "${name}" is no key for this: ${reason}; store the right one`,
    {
      details: { secret: name },
    },
  );
}
