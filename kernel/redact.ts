/**
 * The one redactor: logs, errors and transcripts pass through it. It knows the
 * secrets this gateway holds by value, and the shapes that well-known keys have,
 * so that a key pasted by a person or echoed by a server is caught as well.
 */
export interface Redactor {
  /** Registers a value that must never be seen. Short ones are ignored: they would blank innocent text. */
  add(secret: string): void;
  text(value: string): string;
  /** Only the values this gateway holds: what people write may look like a key and must stay as it is. */
  held(value: string): string;
}

const shapes: readonly RegExp[] = [
  /\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{16,}/g,
  /\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}/g,
  /\bgithub_pat_[A-Za-z0-9_]{20,}/g,
  /\bglpat-[A-Za-z0-9_-]{16,}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /\bxapp-[A-Za-z0-9-]{10,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[A-Za-z0-9_-]{30,}/g,
  /\bhf_[A-Za-z0-9]{20,}/g,
  /\bnpm_[A-Za-z0-9]{30,}/g,
  /\btvly-[A-Za-z0-9-]{16,}/g,
  /\bgsk_[A-Za-z0-9]{20,}/g,
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g,
  // Telegram: bot id, a colon, 35 characters. Also inside a URL path as /bot<token>/.
  /(?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g,
];
const inContext: readonly [RegExp, string][] = [
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, "$1 [redacted]"],
  [/(\/\/[^\s/:@]+:)[^\s/@]+@/g, "$1[redacted]@"],
  [/([?&#](?:token|access_token|api_key|apikey|key|password|secret)=)[^&\s"']+/gi, "$1[redacted]"],
  [/\b((?:set-)?cookie:\s*)[^\r\n]+/gi, "$1[redacted]"],
];

export function createRedactor(): Redactor {
  const known = new Set<string>();
  let pattern: RegExp | undefined;
  return {
    add(secret) {
      if (secret.length < 8 || known.has(secret)) return;
      known.add(secret);
      // Longest first, so that a secret that contains another leaves no tail.
      const words = [...known]
        .sort((a, b) => b.length - a.length)
        .map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      pattern = new RegExp(words.join("|"), "g");
    },
    held: (value) => (pattern ? value.replaceAll(pattern, "[redacted]") : value),
    text(value) {
      let result = pattern ? value.replaceAll(pattern, "[redacted]") : value;
      for (const shape of shapes) result = result.replaceAll(shape, "[redacted]");
      for (const [shape, to] of inContext) result = result.replaceAll(shape, to);
      return result;
    },
  };
}
