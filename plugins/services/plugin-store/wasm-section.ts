import { RclawError } from "@rclaw/plugin-sdk";
import { limits } from "./limits.ts";

const sectionName = "rclaw.manifest";

/** Core modules and components differ in the preamble and begin their sections alike. */
export function isWasm(bytes: Uint8Array): boolean {
  const [nul, a, s, m] = bytes;
  return bytes.length >= 8 && nul === 0 && a === 0x61 && s === 0x73 && m === 0x6d;
}

/** The manifest that a .wasm file carries in a custom section of its own, as text. */
export function manifestSection(bytes: Uint8Array): string | undefined {
  let at = 8;
  let found: string | undefined;
  const bad = (): never => {
    throw new RclawError("INVALID_REQUEST", "the .wasm file is damaged: its sections do not add up");
  };
  const number = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++] ?? bad();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return bad();
  };
  while (at < bytes.length) {
    const kind = bytes[at++];
    const size = number();
    const end = at + size;
    if (end > bytes.length) bad();
    if (kind === 0) {
      const length = number();
      const name = Buffer.from(bytes.subarray(at, Math.min(at + length, end))).toString("utf8");
      if (name === sectionName) {
        if (found !== undefined || at + length > end) bad();
        if (end - at - length > limits.manifestBytes)
          throw new RclawError(
            "MANIFEST_INVALID",
            `the manifest in the .wasm file is larger than ${limits.manifestBytes} bytes`,
          );
        found = Buffer.from(bytes.subarray(at + length, end)).toString("utf8");
      }
    }
    at = end;
  }
  return found;
}
