import { isDeepStrictEqual } from "node:util";
import json5 from "json5";
import { setIn } from "./edit.ts";
import type { CurrentText } from "./redact.ts";
import { isObject } from "./values.ts";

/**
 * A form sends everything it was shown as bare JSON, defaults and included parts too. In a file that a person keeps,
 * only what was changed there changes, and the comments stay. What a person typed is taken as it is.
 */
export function keepPersonsText(text: string, { raw, parsed }: CurrentText, shown: unknown): string {
  if (raw === null || !isFromForm(text) || isFromForm(raw) || !isObject(parsed)) return text;
  const wanted = withoutFilledIn(JSON.parse(text), parsed, shown);
  const { $include: included } = parsed;
  try {
    return setIn(raw, [], included === undefined ? wanted : { $include: included, ...(wanted as object) });
  } catch {
    // What cannot be edited, or must not be, is judged as a whole when it is written.
    return text;
  }
}

function isFromForm(text: string): boolean {
  try {
    return JSON.stringify(json5.parse(text), null, 2) === text.trimEnd();
  } catch {
    return false;
  }
}

function withoutFilledIn(given: unknown, file: unknown, shown: unknown): unknown {
  if (!isObject(given) || !isObject(file)) return given;
  const before = isObject(shown) ? shown : {};
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => {
      if (Object.hasOwn(file, key)) return [[key, withoutFilledIn(value, file[key], before[key])]];
      return isDeepStrictEqual(value, before[key]) ? [] : [[key, value]];
    }),
  );
}
