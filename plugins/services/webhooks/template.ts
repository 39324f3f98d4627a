type Json = Readonly<Record<string, unknown>>;

/** What a template may name. */
export interface Source {
  readonly payload: Json;
  readonly headers: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly path: string;
}

const maxText = 2_000_000;

/** `{{messages[0].from}}`, `{{headers.x-event}}`, `{{query.a}}`, `{{path}}`, `{{now}}`; what is not there is empty. */
export function filled(template: string | undefined, source: Source): string {
  const text = (template ?? "").replaceAll(/\{\{\s*([^{}]+?)\s*\}\}/g, (_all, name: string) => {
    const value = valueOf(name, source);
    if (value === undefined || value === null) return "";
    return typeof value === "string" ? value : JSON.stringify(value);
  });
  return text.slice(0, maxText);
}

export function isTemplate(text: string): boolean {
  return text.includes("{{");
}

function valueOf(name: string, { payload, headers, query, path }: Source): unknown {
  if (name === "path") return path;
  if (name === "now") return new Date().toISOString();
  const [root = "", ...rest] = name.split(".");
  const below = rest.join(".");
  if (below !== "" && root === "headers") return at(headers, [below.toLowerCase()]);
  if (below !== "" && root === "query") return at(query, [below]);
  return at(payload, partsOf(below !== "" && root === "payload" ? below : name));
}

const partsOf = (name: string): string[] =>
  name
    .replaceAll(/\[(\d+)\]/g, ".$1")
    .split(".")
    .filter(Boolean);

/** Own members only: what every object inherits is nobody's payload. */
function at(value: unknown, parts: readonly string[]): unknown {
  return parts.reduce<unknown>(
    (current, part) =>
      typeof current === "object" && current !== null && Object.hasOwn(current, part)
        ? (current as Json)[part]
        : undefined,
    value,
  );
}
