/** How dates are meant: in UTC, in the gateway's own time zone, or in the asker's. */
export interface DateParams {
  readonly startDate?: unknown;
  readonly endDate?: unknown;
  readonly days?: unknown;
  readonly range?: unknown;
  readonly mode?: unknown;
  readonly utcOffset?: unknown;
  readonly timeZone?: unknown;
}

/** A stretch of whole days. */
export interface Days {
  readonly startMs: number;
  readonly endMs: number;
  /** The day that a moment belongs to, as `2026-11-22`. */
  dayOf(at: number): string;
}

const dayMs = 86_400_000;
const ranges: Readonly<Record<string, number>> = { "7d": 7, "30d": 30, "90d": 90, "1y": 365, all: 3_650 };

/** The last thirty days, today included, unless something else is asked for. */
export function daysFor(params: DateParams, now: number): Days {
  const zone = zoneFor(params);
  const start = startOf(params.startDate, zone);
  const end = startOf(params.endDate, zone);
  const dayOf = dayNamer(zone);
  if (start !== undefined && end !== undefined) return { startMs: start, endMs: end + dayMs - 1, dayOf };
  const today = startOf(dayOf(now), zone) ?? now;
  const count = countOf(params.days) ?? ranges[String(params.range)] ?? 30;
  return { startMs: today - (Math.max(1, count) - 1) * dayMs, endMs: today + dayMs - 1, dayOf };
}

/** `2026-11-22` of a moment in UTC. */
export function utcDay(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** Minutes east of UTC at a moment. */
type Zone = (at: number) => number;

function zoneFor({ mode, utcOffset, timeZone }: DateParams): Zone {
  if (mode === "gateway") return (at) => -new Date(at).getTimezoneOffset();
  if (mode !== "specific") return () => 0;
  const named = typeof timeZone === "string" ? zoneNamed(timeZone.trim()) : undefined;
  if (named) return named;
  const minutes = minutesOf(utcOffset);
  return () => minutes;
}

function minutesOf(offset: unknown): number {
  const found =
    typeof offset === "string" ? /^UTC([+-])(\d{1,2})(?::([0-5]\d))?$/.exec(offset.trim()) : undefined;
  if (!found) return 0;
  const [, sign, hours, minutes = "0"] = found;
  const total = (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
  return total >= -720 && total <= 840 ? total : 0;
}

function zoneNamed(name: string): Zone | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
  } catch {
    return undefined;
  }
  // An offset holds for the hour at least; a transcript has thousands of moments.
  const known = new Map<number, number>();
  return (at) => {
    const hour = Math.floor(at / 3_600_000);
    let minutes = known.get(hour);
    if (minutes === undefined) {
      const text = format.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "";
      minutes = minutesOf(text.replace("GMT", "UTC"));
      if (known.size < 10_000) known.set(hour, minutes);
    }
    return minutes;
  };
}

function dayNamer(zone: Zone): (at: number) => string {
  const names = new Map<number, string>();
  return (at) => {
    const day = Math.floor((at + zone(at) * 60_000) / dayMs);
    let name = names.get(day);
    if (name === undefined) names.set(day, (name = utcDay(day * dayMs)));
    return name;
  };
}

/** When a day begins, or undefined when it is none. */
function startOf(date: unknown, zone: Zone): number | undefined {
  if (typeof date !== "string" || !/^\d{4}-\d{2}-\d{2}$/.test(date.trim())) return undefined;
  const [year = 0, month = 1, day = 1] = date.trim().split("-").map(Number);
  const utc = Date.UTC(year, month - 1, day);
  return Number.isNaN(utc) ? undefined : utc - zone(utc) * 60_000;
}

function countOf(days: unknown): number | undefined {
  const count = typeof days === "string" && days.trim() !== "" ? Number(days) : days;
  return typeof count === "number" && Number.isFinite(count)
    ? Math.min(Math.floor(count), 36_500)
    : undefined;
}
