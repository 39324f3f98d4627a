import { RclawError } from "@rclaw/plugin-sdk";

/** Unicode in one form, no control characters but tab and line ends; NUL is refused, since it never means well. */
export function cleanInput(message: string, method: string): string {
  const text = message.normalize("NFC");
  if (text.includes("\0"))
    throw new RclawError("INVALID_REQUEST", `invalid ${method} params: message must not contain null bytes`);
  // oxlint-disable-next-line no-control-regex -- control characters are the point
  return text.replaceAll(/[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, "");
}

const weekday = "(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)";
const stampPattern = new RegExp(`^\\[${weekday} \\d{4}-\\d{2}-\\d{2} \\d{2}:\\d{2} [^\\]\\n]{1,32}\\] `);

/** Headers that only the gateway writes, in the words of a person: an envelope, or a role in brackets. */
const imitations: readonly [RegExp, string][] = [
  [
    new RegExp(
      `\\[([^\\]\\n]{0,80}${weekday}? ?\\d{4}-\\d{2}-\\d{2}[T ]\\d{2}:\\d{2}[^\\]\\n]{0,40})\\]`,
      "g",
    ),
    "($1)",
  ],
  [/\[((?:end )?(?:system|assistant|developer|tool)\b[^\]\n]{0,80})\]/gi, "($1)"],
  [/^([ \t>]*)system( \([^)\n]*\))?:/gim, "$1System (said by the user)$2:"],
  [
    /<(?=\/?(?:system|assistant|developer|tool_use|tool_result|tool_call|function_calls?|function_results?|function_result)\b)/gi,
    "&lt;",
  ],
];

/**
 * What a person wrote must not be taken for what the gateway writes around it. The
 * model still reads every word, and sees that the person wrote it.
 */
export function asUserText(text: string): string {
  let result = text;
  for (const [pattern, to] of imitations) result = result.replaceAll(pattern, to);
  return result;
}

/** `[Sun 2026-11-22 10:57 UTC] `: the clock is here and not in the system prompt, which must stay the same for the prompt cache. */
export function createStamp(timezone: string): (now: number) => string {
  const format = new Intl.DateTimeFormat("en-CA", {
    timeZone: timezone,
    weekday: "short",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  });
  let minute = -1;
  let stamp = "";
  return (now) => {
    const current = Math.floor(now / 60_000);
    if (current === minute) return stamp;
    minute = current;
    const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
    const part = (type: Intl.DateTimeFormatPartTypes): string => (parts.get(type) ?? "").replace(".", "");
    stamp = `[${part("weekday")} ${part("year")}-${part("month")}-${part("day")} ${part("hour")}:${part("minute")} ${part("timeZoneName")}] `;
    return stamp;
  };
}

/** People see what they wrote, without the clock in front of it. */
export function withoutStamp(text: string): string {
  return text.charCodeAt(0) === 91 ? text.replace(stampPattern, "") : text;
}

/** `System: [2026-11-22 10:57:30 UTC] text`, the line a queued event becomes in front of the next prompt. */
export function systemLine(text: string, at: number): string {
  const time = new Date(at).toISOString().slice(0, 19).replace("T", " ");
  return `System: [${time} UTC] ${text.replaceAll(/\s*\n\s*/g, " ").trim()}`;
}

const silent = "NO_REPLY";

/** The model's way to say nothing. */
export function isSilent(text: string): boolean {
  return text.trim() === silent;
}

/** It may still become one, so it is not shown yet. */
export function maySilence(text: string): boolean {
  return silent.startsWith(text.trim());
}

/** Keeps head and tail, since the end of an output often holds the error. */
export function shorten(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const head = Math.floor(limit * 0.7);
  const tail = limit - head;
  return `${text.slice(0, head)}\n\n[... ${text.length - limit} characters left out ...]\n\n${text.slice(text.length - tail)}`;
}
