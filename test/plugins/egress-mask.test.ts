import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createMask } from "../../plugins/services/egress/mask.ts";
import { canary } from "./egress-canary.ts";

const handle = `rclaw-secret-${"a".repeat(32)}`;

async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function through(mask: ReturnType<typeof createMask>, bytes: Uint8Array, sizes: readonly number[]) {
  const pieces: Uint8Array[] = [];
  for await (const piece of mask.stream(cut(bytes, sizes))) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("the mask", () => {
  test("finds every secret wherever it is cut, and changes nothing else", async () => {
    // Few letters, so that secrets overlap, repeat and begin in one another.
    const word = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 });
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 60 });
    const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
        text,
        sizes,
        async (secrets, given, by) => {
          const mask = createMask();
          for (const [i, secret] of secrets.entries()) mask.hide(secret, `<${i}>`);
          const longestFirst = [...secrets].sort((a, b) => b.length - a.length);
          const expected = given.replaceAll(
            new RegExp(longestFirst.join("|"), "g"),
            (found) => `<${secrets.indexOf(found)}>`,
          );
          expect(mask.text(given)).toBe(expected);
          expect((await through(mask, Buffer.from(given), by)).toString()).toBe(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("leaves bytes that are no text as they are", async () => {
    const mask = createMask();
    mask.hideSecret(canary, handle);
    const noise = Uint8Array.from({ length: 4_096 }, (_unused, i) => (i * 89) % 256);
    expect(new Uint8Array(await through(mask, noise, [7, 100]))).toEqual(noise);
  });

  test("hides what is written a byte a character, as headers are", () => {
    const mask = createMask();
    mask.hideSecret("pässwörd", handle);
    expect(mask.header("x pässwörd y")).toBe(`x ${handle} y`);
    expect(mask.header(Buffer.from("x pässwörd y").toString("latin1"))).toBe(`x ${handle} y`);
    expect(mask.text("x pässwörd y")).toBe(`x ${handle} y`);
  });

  test("costs little: 16 MiB in less than a second", async () => {
    const mask = createMask();
    mask.hideSecret(canary, handle);
    const bytes = Buffer.alloc(16 * 1024 * 1024, `{"c":"${canary.slice(0, 10)} and more of the same"},`);
    const started = performance.now();
    expect((await through(mask, bytes, [65_536])).length).toBe(bytes.length);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  test("does nothing before it knows a secret", async () => {
    const mask = createMask();
    const bytes = Buffer.from(canary);
    expect(mask.isActive()).toBe(false);
    expect(mask.bytes(bytes)).toEqual(bytes);
    expect(await through(mask, bytes, [3])).toEqual(bytes);
  });
});
