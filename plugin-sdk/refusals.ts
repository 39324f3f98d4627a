/** How long a server asks to be left alone, by its headers. */
export function retryAfter(headers: Headers | undefined): number | undefined {
  const ms = Number(headers?.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const value = headers?.get("retry-after");
  if (!value) return undefined;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** The same as advice. */
export function tryAgain(afterMs: number | undefined): string {
  if (afterMs === undefined) return "try again in a minute";
  const seconds = Math.ceil(afterMs / 1_000);
  return seconds <= 90 ? `try again in ${seconds} s` : `try again in ${Math.ceil(seconds / 60)} minutes`;
}

const emptyWords =
  /^(?:\W|the|is|are|an?|your|request|server|service|internal|error|failed|currently|temporarily|unavailable|overloaded|bad|gateway|timeout|rate|limit|limited|exceeded|too|many|requests)*$/i;

/** What a server said, to be put behind what it did, unless that is only the status once more. */
export function sayable(said: string): string {
  const text = said.trim().replace(/[.;:\s]+$/, "");
  return emptyWords.test(text) ? "" : `: ${text}`;
}
