import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";

export interface Pair {
  /** PEM, both. */
  readonly cert: string;
  readonly key: string;
}

const years = 10;
const dayMs = 86_400_000;

/**
 * A certificate that vouches for itself, for clients that know its fingerprint. Written in DER
 * here, because Node makes none and not every machine has a program that does. It is no
 * authority: whoever has its key cannot speak for other names to somebody who trusts it.
 */
export function selfSigned(names: readonly string[], now: number): Pair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = sequence(set(sequence(oid("2.5.4.3"), der(0x0c, Buffer.from("rclaw gateway")))));
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const from = new Date(now - dayMs);
  const to = new Date(now + years * 365 * dayMs);
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(serial()),
    algorithm,
    name,
    sequence(time(from), time(to)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions(names))),
  );
  const certificate = sequence(body, algorithm, bits(sign("sha256", body, privateKey), 0));
  return {
    cert: pem("CERTIFICATE", certificate),
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function extensions(names: readonly string[]): Buffer[] {
  const critical = der(0x01, Buffer.from([0xff]));
  const alternatives = names.map((name) =>
    isIP(name) === 0 ? der(0x82, Buffer.from(name, "latin1")) : der(0x87, addressBytes(name)),
  );
  const digitalSignature = bits(Buffer.from([0x80]), 7);
  return [
    // An empty sequence: no authority.
    sequence(oid("2.5.29.19"), critical, octets(sequence())),
    sequence(oid("2.5.29.15"), critical, octets(digitalSignature)),
    sequence(oid("2.5.29.37"), octets(sequence(oid("1.3.6.1.5.5.7.3.1")))),
    sequence(oid("2.5.29.17"), octets(sequence(...alternatives))),
  ];
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const size: number[] = [];
  for (let rest = content.length; rest > 0; rest >>= 8) size.unshift(rest & 0xff);
  const length = content.length < 0x80 ? [content.length] : [0x80 | size.length, ...size];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const set = (...parts: readonly Uint8Array[]): Buffer => der(0x31, ...parts);
const octets = (content: Uint8Array): Buffer => der(0x04, content);
const integer = (bytes: Uint8Array): Buffer => der(0x02, bytes);
const bits = (content: Uint8Array, unused: number): Buffer => der(0x03, Buffer.from([unused]), content);

/** Base 128, the high bit on every byte but a number's last; the first two numbers share one byte. */
function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((number) => {
    const digits = [number & 0x7f];
    for (let left = number >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return der(0x06, Buffer.from(bytes));
}

/** X.509 wants two digits of the year until 2049 and four from then on. */
function time(date: Date): Buffer {
  const text = date.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

/** Positive, and without a leading zero byte. */
function serial(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  // A URL spells the address in groups of hex digits, whatever it was written like.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = groups.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail ? tail.split(":") : [];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, "0")).join(""), "hex");
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
