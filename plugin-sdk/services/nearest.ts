/** Letters put in, left out, changed or swapped with their neighbour; `most` + 1 when there are more. */
export function editDistance(a: string, b: string, most = Number.MAX_SAFE_INTEGER): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_value, at) => at);
  for (let row = 1; row <= a.length; row += 1) {
    const next = [row];
    for (let at = 1; at <= b.length; at += 1) {
      const isSame = a[row - 1] === b[at - 1];
      let best = Math.min(
        (last[at] ?? 0) + 1,
        (next[at - 1] ?? 0) + 1,
        (last[at - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (row > 1 && at > 1 && a[row - 1] === b[at - 2] && a[row - 2] === b[at - 1])
        best = Math.min(best, (before[at - 2] ?? 0) + 1);
      next.push(best);
    }
    if (Math.min(...next) > most) return most + 1;
    before = last;
    last = next;
  }
  return Math.min(last[b.length] ?? 0, most + 1);
}

/** The known word that was probably meant, if one begins with the given one or is close enough to be worth naming. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const limit = given.length < 4 ? 1 : Math.max(2, Math.floor(given.length / 3));
  const wanted = given.toLowerCase();
  const ranked = known
    .map((word) => ({
      word,
      far: word.startsWith(given) ? 0.5 : editDistance(wanted, word.toLowerCase(), limit),
    }))
    .sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best && best.far <= limit ? best.word : undefined;
}

/** `; did you mean "x"?` for the nearest of the known words, or nothing when none is near. */
export function didYouMean(given: string, known: readonly string[]): string {
  const word = nearest(given, known);
  return word === undefined ? "" : `; did you mean "${word}"?`;
}
