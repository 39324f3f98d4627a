import { GuestTextDecoder, GuestTextEncoder } from "./text.ts";

/** What is escaped where, beside controls and everything above `~`; the sets of the WHATWG URL standard. */
const fragment = ' "<>`';
const query = ' "#<>';
const path = `${query}?^\`{}`;
const userinfo = `${path}/:;=@[\\]|`;
export const escapes = { fragment, query, specialQuery: `${query}'`, path, userinfo } as const;

const encoder = new GuestTextEncoder();
const hex = (byte: number): string => `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;

/** Escapes one character if it is among them; a control character or one above `~` always is. */
export function escape(char: string, among: string): string {
  const point = char.codePointAt(0) ?? 0;
  if (point > 0x1f && point < 0x7f && !among.includes(char)) return char;
  return Array.from(encoder.encode(char), hex).join("");
}

export function escapeAll(text: string, among: string): string {
  let whole = "";
  for (const char of text) whole += escape(char, among);
  return whole;
}

export function formEncode(text: string): string {
  let whole = "";
  for (const byte of encoder.encode(text)) {
    const char = String.fromCharCode(byte);
    if (/[A-Za-z0-9*\-._]/.test(char)) whole += char;
    else whole += byte === 0x20 ? "+" : hex(byte);
  }
  return whole;
}

/** Undoes escapes; what they say is read as UTF-8. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = encoder.encode(text);
  const out = new Uint8Array(bytes.length);
  let size = 0;
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at] === 0x25 ? String.fromCharCode(bytes[at + 1] ?? 0, bytes[at + 2] ?? 0) : "";
    const escaped = /^[0-9A-Fa-f]{2}$/.test(code);
    out[size++] = escaped ? Number.parseInt(code, 16) : (bytes[at] as number);
    if (escaped) at += 2;
  }
  return new GuestTextDecoder("utf-8", { ignoreBOM: true }).decode(out.subarray(0, size));
}
