import { stored } from "./dom.js";

const slot = "rclaw.pending";

/**
 * What was written in this tab and is not known to be answered. It outlives a reload, each message
 * with the id it is sent under, so that sending it again is a question and not a second message.
 */
export const pending = {
  read(key) {
    try {
      const kept = JSON.parse(stored.get("sessionStorage", slot));
      if (kept.key === key) return kept;
    } catch {}
    return { runs: [], queue: [] };
  },
  write(key, runs, queue) {
    const plain = ({ id, text, at }) => ({ id, text, at });
    const kept = { key, runs: runs.map(plain), queue: queue.map(plain) };
    const value = runs.length + queue.length === 0 ? undefined : JSON.stringify(kept);
    stored.set("sessionStorage", slot, value);
  },
};
