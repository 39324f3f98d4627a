import { forEachChild, type SyntaxNode } from "unbash";

type FunctionNode = Extract<SyntaxNode, { type: "Function" }>;

const deciding = new Set(["If", "For", "ArithmeticFor", "While", "Case", "AndOr", "Select"]);

/**
 * The name of a function that starts copies of itself without waiting: `:(){ :|:& };:`. A function
 * that decides before it calls itself once more, as `fact` and tree walkers do, comes to an end.
 */
export function bombName(node: FunctionNode): string | undefined {
  const name = node.name.value;
  const decides = contains(
    node.body,
    (child) => deciding.has(child.type) || isCommand(child, ["return", "exit"]),
  );
  const calls = (child: SyntaxNode) => contains(child, (inner) => isCommand(inner, [name]));
  const spawns = (child: SyntaxNode): boolean => {
    switch (child.type) {
      case "Statement":
        return child.background === true && calls(child);
      case "Coproc":
        return calls(child);
      case "Pipeline": {
        const copies = child.commands.filter(calls).length;
        return child.commands.length > 1 && copies > (decides ? 1 : 0);
      }
      case "CommandExpansion":
        return !decides && calls(child);
      default:
        return false;
    }
  };
  return contains(node.body, spawns) ? name : undefined;
}

const brakes = ["wait", "sleep", "read", "break", "exit", "return"];

/** A loop that never ends and never waits for what it starts in the background. */
export function isEndlessSpawn(node: SyntaxNode): boolean {
  if (node.type !== "While" && node.type !== "ArithmeticFor") return false;
  const endless =
    node.type === "ArithmeticFor"
      ? node.test === undefined
      : contains(node.clause, (child) =>
          isCommand(child, node.kind === "while" ? ["true", ":"] : ["false"]),
        ) && node.clause.commands.length === 1;
  let [starts, waits] = [false, false];
  const look = (child: SyntaxNode): void => {
    if (child.type === "Statement" && child.background === true) starts = true;
    else if (isCommand(child, brakes)) waits = true;
    else forEachChild(child, look);
  };
  look(node.body);
  return endless && starts && !waits;
}

/** `:(){:|:&};:` is no bash, but other shells take it. */
export function hasCompactBomb(text: string): boolean {
  return /([^\s(){}|&;'"]{1,40})\s?\(\)\s?\{\s?\1\s?\|\s?\1\s?&/.test(text);
}

/** Functions that are called in the same pipeline run side by side. */
export function copiesIn(
  node: Extract<SyntaxNode, { type: "Pipeline" }>,
  names: ReadonlyMap<string, unknown>,
): number {
  return node.commands.filter((part) => isCommand(part, names.keys())).length;
}

function isCommand(node: SyntaxNode, names: Iterable<string>): boolean {
  return node.type === "Command" && node.name !== undefined && [...names].includes(node.name.value);
}

function contains(node: SyntaxNode, test: (node: SyntaxNode) => boolean): boolean {
  if (test(node)) return true;
  let found = false;
  forEachChild(node, (child) => {
    found ||= contains(child, test);
  });
  return found;
}
