import { randomFillSync } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Imports } from "./versions.ts";

/** Time and chance, which every world may have. */
export function clockImports(): Imports {
  return {
    clock: {
      nowMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      randomBytes(count: number) {
        if (count > 65_536)
          throw new RclawError("INVALID_REQUEST", "at most 65,536 random bytes can be had at once");
        return randomFillSync(new Uint8Array(count));
      },
    },
    // Types alone: nothing in them can be called.
    types: {},
    "channel-data": {},
    "provider-data": {},
  };
}
