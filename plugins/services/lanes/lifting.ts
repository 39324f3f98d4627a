import { RclawError } from "@rclaw/plugin-sdk";

/** Every text and every list costs at least that, however short it is. */
const pieceBytes = 64;
let left = Infinity;
let isInstalled = false;

/**
 * Runs an entry into a component that may hand over at most so many bytes. What it hands over are addresses, and a
 * thousand of them may name the same megabyte: without a budget each would be copied.
 */
export function withinBudget<T>(bytes: number, enter: () => T): T {
  install();
  const before = left;
  left = bytes;
  try {
    return enter();
  } finally {
    left = before;
  }
}

/** Inside of an entry: begins anew. */
export function refill(bytes: number): void {
  if (left !== Infinity) left = bytes;
}

function spend(bytes: number): void {
  if (left === Infinity) return;
  left -= bytes + pieceBytes;
  if (left < 0) throw new RclawError("TOO_LARGE", "it handed over more at once than the host keeps for it");
}

/** The two ways in which generated code copies out of a guest's memory. This thread does nothing but run guests. */
function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  const { decode } = TextDecoder.prototype;
  TextDecoder.prototype.decode = function (input, options) {
    spend(input?.byteLength ?? 0);
    return decode.call(this, input, options);
  };
  const { slice } = ArrayBuffer.prototype;
  const bounded = function (this: ArrayBuffer, begin = 0, end = this.byteLength): ArrayBuffer {
    spend(Math.max(0, Math.min(end, this.byteLength) - begin));
    return slice.call(this, begin, end);
  };
  // oxlint-disable-next-line eslint/no-extend-native -- generated code knows no other way, and only guests live in this thread
  Object.defineProperty(ArrayBuffer.prototype, "slice", { value: bounded });
}
