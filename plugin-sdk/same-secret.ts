import { createHash, timingSafeEqual } from "node:crypto";

/** Digests have one length, so neither length nor a common start can be timed. Nothing is the same as no secret. */
export function isSameSecret(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return wanted !== "" && timingSafeEqual(digest(given), digest(wanted));
}
