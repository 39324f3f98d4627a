import { RclawError } from "@rclaw/plugin-sdk";
import type { Kind } from "./component.ts";

/** Worlds with typed exports, whose imports block. */
export const serveDirect: Kind = {
  imports: () => ({}),
  serve() {
    throw new RclawError("ARTEFACT_REFUSED", "not yet");
  },
};
