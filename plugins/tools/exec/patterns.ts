import vm from "node:vm";
import { RclawError } from "@rclaw/plugin-sdk";

const maxMs = 100;

/**
 * The operator's own deny list. A regular expression can take for ever on the right text,
 * so matching is stopped after a moment and then counts as a match.
 */
export class DenyPatterns {
  readonly #patterns: readonly RegExp[];
  #context: vm.Context | undefined;

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern, index) => {
      try {
        // Lists written for other languages begin with it; here case never counts.
        return new RegExp(pattern.replace(/^\(\?i\)/, ""), "i");
      } catch (error) {
        throw new RclawError(
          "CONFIG_INVALID",
          `tools.exec.deny_patterns[${index}] is no regular expression: ${String(error)}. Correct it or remove it.`,
          {
            cause: error,
          },
        );
      }
    });
  }

  /** Why one of the texts is refused, or undefined. */
  match(texts: readonly string[]): string | undefined {
    if (this.#patterns.length === 0) return undefined;
    this.#context ??= vm.createContext(Object.create(null));
    for (const [index, pattern] of this.#patterns.entries()) {
      Object.assign(this.#context, { pattern, texts });
      try {
        if (
          vm.runInContext("texts.some((text) => pattern.test(text))", this.#context, { timeout: maxMs }) ===
          true
        ) {
          return `tools.exec.deny_patterns[${index}] (${pattern.source}) matches it`;
        }
      } catch {
        return `tools.exec.deny_patterns[${index}] (${pattern.source}) takes too long on it`;
      }
    }
    return undefined;
  }
}
