const names: Readonly<Record<number, readonly [number, string]>> = {
  10: [1, "TRACE"],
  20: [2, "DEBUG"],
  30: [3, "INFO"],
  40: [4, "WARN"],
  50: [5, "ERROR"],
  60: [6, "FATAL"],
};
const usual = new Set(["level", "time", "plugin", "msg", "err"]);

/** A line of our log in the form that OpenClaw's clients read: who, what, and how bad. Any other line is left as it is. */
export function shown(line: string): string {
  const fields = parsed(line);
  if (!fields) return line;
  const { level, time, plugin, msg } = fields;
  const [logLevelId, logLevelName] = names[typeof level === "number" ? level : 30] ?? [3, "INFO"];
  const name = JSON.stringify({ subsystem: typeof plugin === "string" ? plugin : "gateway" });
  const rest = Object.entries(fields)
    .filter(([key]) => !usual.has(key))
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const words = [typeof msg === "string" ? msg : "", messageOf(fields["err"]), ...rest];
  // OpenClaw's own lines have the name under 0 as well, and its command line then shows it as part of the message.
  return JSON.stringify({
    1: words.filter(Boolean).join("  "),
    _meta: { logLevelId, logLevelName, name, date: time },
    time,
  });
}

function messageOf(error: unknown): string {
  const message = (error as { readonly message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : "";
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && "level" in value && "time" in value
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
