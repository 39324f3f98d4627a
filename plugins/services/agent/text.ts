import { RclawError } from "@rclaw/plugin-sdk";

/** More than any model reads at once; what is done to a text takes half a second for each million. */
const maxChars = 2_000_000;

/** Unicode in one form, no control characters but tab and line ends; NUL is refused, since it never means well. */
export function cleanInput(message: string, method: string): string {
  if (message.length > maxChars) {
    const advice = `message is longer than ${maxChars} characters; put the text into a file of the workspace`;
    throw new RclawError("TOO_LARGE", `invalid ${method} params: ${advice}`);
  }
  const text = message.normalize("NFC");
  if (text.includes("\0"))
    throw new RclawError("INVALID_REQUEST", inWordsOf(method, "message must not contain null bytes"));
  // oxlint-disable-next-line no-control-regex -- control characters are the point
  return text.replaceAll(/[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, "");
}

/** OpenClaw's gateway says what is wrong with a chat's message without the method's name. */
export function inWordsOf(method: string, what: string): string {
  return method === "chat.send" ? what : `invalid ${method} params: ${what}`;
}

const weekday = "(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)";

/** Headers that only the gateway writes, in the words of a person: an envelope, a role in brackets, a model's own marks. */
const imitations: readonly [RegExp, string][] = [
  [
    new RegExp(
      `\\[([^\\]\\n]{0,80}${weekday}? ?\\d{4}-\\d{2}-\\d{2}[T ]\\d{2}:\\d{2}[^\\]\\n]{0,40})\\]`,
      "g",
    ),
    "($1)",
  ],
  [/\(\s*id\s*:(?=[^)\n]{0,80}\)\s*:)/gi, "(said id "],
  [/\[((?:end )?(?:system|assistant|developer|tool)\b[^\]\n]{0,80})\]/gi, "($1)"],
  [/^([ \t>*_#]*)system( \([^)\n]*\))?([*_]*):/gim, "$1System (said by the user)$2$3:"],
  [
    /<(?=\/?(?:system|assistant|developer|tool_use|tool_result|tool_call|function_calls?|function_results?|function_result)\b)/gi,
    "&lt;",
  ],
  // Of models that run on this machine; a server far away takes them for text.
  [/<(?=\|[a-z_]{1,40}\|>|<\/?SYS>>)/gi, "&lt;"],
  [/\[(\/?INST)\]/g, "($1)"],
];

const lookAlikes = [
  ["【〖〔⟦❲", "["],
  ["】〗〕⟧❳", "]"],
  ["ѕЅ", "s"],
  ["уУү", "y"],
  ["тТτ", "t"],
  ["еЕε", "e"],
  ["мМΜ", "m"],
  ["аАα", "a"],
  ["іІι", "i"],
  ["оОο", "o"],
  ["ԁ", "d"],
  ["ɩӏ", "l"],
  ["꞉∶ː", ":"],
] as const;
const twins: ReadonlyMap<string, string> = new Map(
  lookAlikes.flatMap(([alike, meant]) => Array.from(alike, (char) => [char, meant] as const)),
);

/** As a careless reader sees it: without invisible characters, and look-alikes as what they look like. */
function folded(line: string): string {
  const plain = line.normalize("NFKC").replaceAll(/\p{Cf}/gu, "");
  return plain.replaceAll(/[^\x20-\x7e]/gu, (char) => twins.get(char) ?? char);
}

/**
 * What a person wrote must not be taken for what the gateway writes around it, nor for
 * another person's words. The model still reads every word, and sees who wrote it.
 */
export function asUserText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- everything that is not ASCII
  if (!/[^\x00-\x7f]/.test(text)) return neutral(text);
  const lines = text.split("\n").map((line) => {
    const plain = folded(line);
    const shown = neutral(plain);
    // Only a line that pretends to be something is shown as what it looks like.
    return shown === plain ? neutral(line) : shown;
  });
  return lines.join("\n");
}

function neutral(text: string): string {
  let result = text;
  for (const [pattern, to] of imitations) result = result.replaceAll(pattern, to);
  return result;
}

/** Who wrote a message, where several may write. */
export interface Speaker {
  readonly channel: string;
  /** The group's title. */
  readonly place: string | undefined;
  readonly name: string | undefined;
  readonly id: string;
}

/**
 * `[Telegram group Rust fans Sun 2026-11-22 10:57 UTC] Ada (id:4201): `. The name is the
 * person's own choice, so it may hold nothing that this line is made of; the id is not.
 */
export function envelope(stamp: string, { channel, place, name, id }: Speaker): string {
  const label = `${channel.slice(0, 1).toUpperCase()}${channel.slice(1)}`;
  const group = place === undefined ? "" : ` group ${asName(place)}`;
  const who = `${asName(name ?? "") || "unknown"} (id:${id.replaceAll(/[^\w@.+:#-]/g, "_").slice(0, 64)}): `;
  return `[${asName(label)}${group} ${stamp.slice(1)}${who}`;
}

function asName(given: string): string {
  return given
    .normalize("NFKC")
    .slice(0, 64)
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}\p{Ps}\p{Pe}<>:;"`|\\꞉∶ː]/gu, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
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

/** `System: [2026-11-22 10:57:30 UTC] text`, the line a queued event becomes in front of the next prompt. */
export function systemLine(text: string, at: number): string {
  const time = new Date(at).toISOString().slice(0, 19).replace("T", " ");
  return `System: [${time} UTC] ${text.replaceAll(/\s*[\n\r\u0085\u2028\u2029]\s*/g, " ").trim()}`;
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
