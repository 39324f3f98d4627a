/** How output may look: escape codes and line breaks are for people, not for pipes. */
export function look(): { readonly colour: boolean; readonly width: number | undefined } {
  const { isTTY, columns } = process.stdout;
  return {
    colour: isTTY && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb",
    // A terminal that does not know its size says 0.
    width: isTTY ? columns || 80 : undefined,
  };
}
