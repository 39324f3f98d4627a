/** What a piece of a pattern may cost the engine, which tries every way to match. */
interface Cost {
  /** Ways to match it, apart from how long repetitions are. */
  readonly ways: number;
  /** Repetitions without a limit: each multiplies by the length of the text. */
  readonly open: number;
}

/** Steps that a check may take: about a tenth of a second. */
const maxSteps = 20_000_000;
const maxWays = 100_000;

/**
 * A pattern of a schema, tried in the gateway's own thread: a text that is too long for it does not match. Schemas of
 * strangers are first held against `refuseEndless`; ours may repeat what repeats.
 */
export function compilePattern(source: string): { test(text: string): boolean } {
  const pattern = new RegExp(source, "u");
  let cost: Cost;
  try {
    cost = costOf(source);
  } catch {
    return pattern;
  }
  const degree = cost.open + (source.startsWith("^") ? 0 : 1);
  const maxLength = degree === 0 ? Infinity : (maxSteps / cost.ways) ** (1 / degree);
  return { test: (text) => text.length <= maxLength && pattern.test(text) };
}

/** Throws for a schema with a pattern that could keep this thread busy for ever. */
export function refuseEndless(schema: unknown): void {
  if (typeof schema !== "object" || schema === null) return;
  for (const [key, value] of Object.entries(schema)) {
    if (key === "pattern" && typeof value === "string") costOf(value);
    if (key === "patternProperties" && typeof value === "object" && value !== null)
      for (const pattern of Object.keys(value)) costOf(pattern);
    refuseEndless(value);
  }
}

const endless = (source: string): never => {
  throw new TypeError(
    `pattern "${source.slice(0, 100)}" repeats what can repeat or vary itself, so that a short text could keep it busy for hours; write it without nested repetition`,
  );
};

const character = String.raw`(?:\\[-.\/_ ]|[^\\[\](){}.*+?|^$])`;
const repeatedClass = String.raw`(?:\[(?:[^\\\]]|\\.)+\]|\\[wd])`;
const separatedGroup = new RegExp(
  `^\\((?:\\?:)?(?:(${character})(${repeatedClass})[+]|(${repeatedClass})[+](${character}))\\)$`,
  "u",
);

/** Such as `(-[a-z]+)`: where one repetition ends and the next begins, there is never a choice. */
function isSeparated(group: string): boolean {
  const [, before, one, other, after] = separatedGroup.exec(group) ?? [];
  const separator = (before ?? after)?.replace("\\", "");
  return separator !== undefined && !new RegExp(`^${one ?? other}$`, "u").test(separator);
}

function costOf(source: string): Cost {
  let at = 0;

  function alternatives(): Cost {
    let [ways, open] = [0, 0];
    for (;;) {
      const branch = sequence();
      ways += branch.ways;
      open = Math.max(open, branch.open);
      if (ways > maxWays) endless(source);
      if (source[at] !== "|") return { ways, open };
      at++;
    }
  }

  function sequence(): Cost {
    let [ways, open] = [1, 0];
    while (at < source.length && source[at] !== "|" && source[at] !== ")") {
      const begin = at;
      const one = atom();
      const piece = repeated(one, source.slice(begin, at));
      ways *= piece.ways;
      open += piece.open;
      if (ways > maxWays) endless(source);
    }
    return { ways, open };
  }

  /** One character, class or group. */
  function atom(): Cost {
    const first = source[at++];
    if (first === "\\") at++;
    else if (first === "[") {
      while (at < source.length && source[at] !== "]") at += source[at] === "\\" ? 2 : 1;
      at++;
    } else if (first === "(") {
      at += /^\?(?:[:=!]|<[=!]|<[^>]*>)/.exec(source.slice(at, at + 80))?.[0].length ?? 0;
      const inner = alternatives();
      at++;
      return inner;
    }
    return { ways: 1, open: 0 };
  }

  function repeated(piece: Cost, group: string): Cost {
    const [text, from, comma, to] = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/.exec(source.slice(at, at + 40)) ?? [];
    if (text === undefined) return piece;
    at += text.length;
    if (text.startsWith("?")) return { ways: piece.ways + 1, open: piece.open };
    const isOpen = from === undefined || (comma !== "" && to === "");
    const isPlain = piece.ways === 1 && piece.open === 0;
    if (isOpen && isPlain) return { ways: 1, open: 1 };
    if (isOpen) return isSeparated(group) ? { ways: 1, open: 2 } : endless(source);
    const most = Number(to || from);
    if (most > 1 && piece.open > 0) endless(source);
    const ways = piece.ways ** most * (most - Number(from) + 1);
    return ways <= maxWays ? { ways, open: piece.open } : endless(source);
  }

  return alternatives();
}
