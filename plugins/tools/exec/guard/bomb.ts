import { forEachChild, type SyntaxNode } from "unbash";

/** The name of a function that starts copies of itself without waiting: `:(){ :|:& };:`. */
export function bombName(node: Extract<SyntaxNode, { type: "Function" }>): string | undefined {
  const name = node.name.value;
  let found = false;
  const look = (child: SyntaxNode, spawning: boolean) => {
    const here =
      spawning ||
      (child.type === "Pipeline" && child.commands.length > 1) ||
      (child.type === "Statement" && child.background === true) ||
      child.type === "Coproc" ||
      child.type === "CommandExpansion";
    if (here && child.type === "Command" && child.name?.value === name) found = true;
    forEachChild(child, (inner) => look(inner, here));
  };
  look(node.body, false);
  return found ? name : undefined;
}
