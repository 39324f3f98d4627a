/**
 * What a few harmless programs print, so that `$(echo rm)` and `echo ... | base64 -d | sh`
 * can be read without running anything. Undefined: not known.
 */
export function output(argv: readonly string[], stdin: string | undefined): string | undefined {
  const [program = "", ...args] = argv;
  switch (program.replace(/^.*\//, "")) {
    case "echo":
      return echo(args);
    case "printf":
      return printf(args);
    case "cat":
    case "tee":
    case "head":
    case "tail":
      return args.length === 0 ? stdin : undefined;
    case "base64":
      return args.some((arg) => /^(-d|-D|-di|--decode|--d.*)$/.test(arg))
        ? decode(stdin, "base64")
        : undefined;
    case "xxd":
      return args.includes("-r") ? decode(stdin?.replaceAll(/\s/g, ""), "hex") : undefined;
    case "rev":
      return stdin === undefined
        ? undefined
        : stdin
            .split("\n")
            .map((line) => Array.from(line).reverse().join(""))
            .join("\n");
    case "true":
    case ":":
      return "";
    default:
      return undefined;
  }
}

const decode = (text: string | undefined, encoding: "base64" | "hex") =>
  text === undefined ? undefined : Buffer.from(text, encoding).toString();

function echo(args: readonly string[]): string {
  const options = args.findIndex((arg) => !/^-[neE]+$/.test(arg));
  const flags = (options === -1 ? args : args.slice(0, options)).join("");
  const text = (options === -1 ? [] : args.slice(options)).join(" ");
  return (flags.includes("e") ? escapes(text) : text) + (flags.includes("n") ? "" : "\n");
}

function printf(args: readonly string[]): string | undefined {
  if (args[0] === "-v") return "";
  const [format = "", ...values] = args[0] === "--" ? args.slice(1) : args;
  if (/%[^sbd%]/.test(format)) return undefined;
  const decoded = escapes(format);
  const holes = (decoded.match(/%[sbd]/g) ?? []).length;
  const rounds = holes === 0 ? 1 : Math.max(1, Math.ceil(values.length / holes));
  if (decoded.length * rounds > 100_000) return undefined;
  let used = 0;
  return decoded.repeat(rounds).replaceAll(/%([sbd%])/g, (_, kind: string) => {
    if (kind === "%") return "%";
    const value = values[used] ?? "";
    used += 1;
    return kind === "b" ? escapes(value) : value;
  });
}

const letters: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\u0007",
  b: "\b",
  e: "\u001B",
  f: "\f",
  v: "\v",
  "\\": "\\",
};

function escapes(text: string): string {
  return text.replaceAll(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|0?([0-7]{1,3})|(.))/gs,
    (whole, x, u, wide, octal, letter) => {
      const hex: string | undefined = x ?? u ?? wide;
      const code =
        hex !== undefined
          ? Number.parseInt(hex, 16)
          : octal !== undefined
            ? Number.parseInt(octal, 8)
            : undefined;
      if (code !== undefined) return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
      return letters[letter] ?? whole;
    },
  );
}
