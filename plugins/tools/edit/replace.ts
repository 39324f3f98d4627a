/** The edited text and where it changed, or why nothing was changed and what to do. */
export type Replacement = { readonly text: string; readonly line: number } | { readonly problem: string };

/** Replaces the only occurrence of `oldText`. */
export function replaceOnce(text: string, oldText: string, newText: string): Replacement {
  if (oldText === "")
    return { problem: "oldText is empty. Give the text to replace, or use write to make a new file." };
  if (oldText === newText)
    return { problem: "oldText and newText are the same, so there is nothing to change." };
  // Models write \n; a file keeps the line ends that it has.
  const ends = lineEndsOf(text);
  const adapted = { oldText: withEnds(oldText, ends), newText: withEnds(newText, ends) };
  const exact = placesOf(text, oldText);
  if (exact.length > 0) {
    const places = exact.map((start) => ({ start, end: start + oldText.length }));
    return replacedIn(text, places, ends === "\r\n" ? adapted.newText : newText);
  }
  const places = sameCharacters(text, adapted.oldText);
  return places.length > 0 ? replacedIn(text, places, adapted.newText) : { problem: noMatch(text, oldText) };
}

interface Place {
  readonly start: number;
  readonly end: number;
}

function replacedIn(text: string, places: readonly Place[], newText: string): Replacement {
  const [first] = places;
  if (first === undefined || places.length > 1) return { problem: manyMatches(text, places) };
  const { start, end } = first;
  return { text: text.slice(0, start) + newText + text.slice(end), line: lineAt(text, start) };
}

/** The line end of every line, or undefined for a file that has both. */
function lineEndsOf(text: string): "\n" | "\r\n" | undefined {
  const all = text.split("\n").length - 1;
  const windows = text.split("\r\n").length - 1;
  if (all === 0) return undefined;
  if (windows === 0) return "\n";
  return windows === all ? "\r\n" : undefined;
}

function withEnds(text: string, ends: "\n" | "\r\n" | undefined): string {
  return ends === undefined ? text : text.replaceAll(/\r?\n/g, ends);
}

function placesOf(text: string, part: string): readonly number[] {
  const places: number[] = [];
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + 1)) places.push(at);
  return places;
}

/** The same characters, perhaps in another form of Unicode: an "é" is one code point or two. */
function sameCharacters(text: string, part: string): readonly Place[] {
  const wanted = part.normalize("NFC");
  if (text.normalize("NFC") === text)
    return placesOf(text, wanted).map((start) => ({ start, end: start + wanted.length }));
  // Where each character of the composed text begins in the original.
  const starts: number[] = [];
  let composed = "";
  for (const { 0: character, index } of text.matchAll(/\P{M}\p{M}*|\p{M}+/gsu)) {
    const form = character.normalize("NFC");
    for (let unit = 0; unit < form.length; unit += 1) starts.push(unit === 0 ? index : -1);
    composed += form;
  }
  starts.push(text.length);
  return placesOf(composed, wanted)
    .map((at) => ({ start: starts[at] ?? -1, end: starts[at + wanted.length] ?? -1 }))
    .filter(({ start, end }) => start !== -1 && end !== -1);
}

const lineAt = (text: string, at: number) => text.slice(0, at).split("\n").length;

function manyMatches(text: string, places: readonly Place[]): string {
  const lines = [...new Set(places.slice(0, 10).map(({ start }) => lineAt(text, start)))];
  const rest = places.length > 10 ? ", ..." : "";
  return `oldText occurs ${places.length} times (line${lines.length > 1 ? "s" : ""} ${lines.join(", ")}${rest}). Add lines around it until it occurs once.`;
}

/** The usual mistake is white space, so say where the first line does occur when that is ignored. */
function noMatch(text: string, oldText: string): string {
  const wanted =
    oldText
      .split("\n")
      .find((line) => line.trim() !== "")
      ?.trim() ?? "";
  const lines = text.split("\n");
  const exact = linesWith(lines, (line) => line.includes(wanted));
  const alike = exact.length > 0 ? exact : linesWith(lines, (line) => folded(line).includes(folded(wanted)));
  const hint =
    wanted === "" || alike.length === 0
      ? "Its first line is nowhere in the file either."
      : exact.length > 0
        ? `Its first line is at line ${exact.join(", ")}, so the rest or the white space differs.`
        : `Its first line is at line ${alike.join(", ")} with other quotes, dashes or spaces.`;
  return `oldText does not occur in the file (0 matches). ${hint} Read the file again and copy the text exactly.`;
}

function linesWith(lines: readonly string[], matches: (line: string) => boolean): readonly number[] {
  return lines.flatMap((line, index) => (matches(line) ? [index + 1] : [])).slice(0, 5);
}

/** Typographic characters as the ones on a keyboard, and every run of white space as one space. */
function folded(text: string): string {
  return text
    .normalize("NFKC")
    .replaceAll(/[\u2018\u2019\u201A\u201B]/g, "'")
    .replaceAll(/[\u201C\u201D\u201E\u201F\u00AB\u00BB]/g, '"')
    .replaceAll(/\p{Pd}|\u2212/gu, "-")
    .replaceAll(/\s+/g, " ");
}
