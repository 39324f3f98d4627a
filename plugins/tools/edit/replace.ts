/** The edited text and where it changed, or why nothing was changed and what to do. */
export type Replacement = { readonly text: string; readonly line: number } | { readonly problem: string };

/** Replaces the only occurrence of `oldText`. */
export function replaceOnce(text: string, oldText: string, newText: string): Replacement {
  if (oldText === "")
    return { problem: "oldText is empty. Give the text to replace, or use write to make a new file." };
  if (oldText === newText)
    return { problem: "oldText and newText are the same, so there is nothing to change." };
  const places = placesOf(text, oldText);
  const [first] = places;
  if (first !== undefined && places.length === 1) {
    return {
      text: text.slice(0, first) + newText + text.slice(first + oldText.length),
      line: lineAt(text, first),
    };
  }
  if (places.length > 1) return { problem: manyMatches(text, places) };
  // Models write \n; a file with \r\n keeps its line ends.
  if (text.includes("\r\n") && !oldText.includes("\r")) {
    const [oldLines, newLines] = [oldText, newText].map((part) =>
      part.replaceAll("\r\n", "\n").replaceAll("\n", "\r\n"),
    );
    if (oldLines !== undefined && newLines !== undefined && oldLines !== oldText)
      return replaceOnce(text, oldLines, newLines);
  }
  return { problem: noMatch(text, oldText) };
}

function placesOf(text: string, part: string): readonly number[] {
  const places: number[] = [];
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + 1)) places.push(at);
  return places;
}

const lineAt = (text: string, at: number) => text.slice(0, at).split("\n").length;

function manyMatches(text: string, places: readonly number[]): string {
  const lines = places.slice(0, 10).map((at) => lineAt(text, at));
  const rest = places.length > 10 ? ", ..." : "";
  return `oldText occurs ${places.length} times (lines ${lines.join(", ")}${rest}). Add lines around it until it occurs once.`;
}

/** The usual mistake is white space, so say where the first line does occur when that is ignored. */
function noMatch(text: string, oldText: string): string {
  const wanted =
    oldText
      .split("\n")
      .find((line) => line.trim() !== "")
      ?.trim() ?? "";
  const near = text
    .split("\n")
    .flatMap((line, index) => (wanted !== "" && line.includes(wanted) ? [index + 1] : []))
    .slice(0, 5);
  const hint =
    near.length > 0
      ? `Its first line is at line ${near.join(", ")}, so the rest or the white space differs.`
      : "Its first line is nowhere in the file either.";
  return `oldText does not occur in the file (0 matches). ${hint} Read the file again and copy the text exactly.`;
}
