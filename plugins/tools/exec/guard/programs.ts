import { globOf } from "./glob.ts";

export const shells = /^(ba|da|a|z|k|mk|fi|rba|tc|c)?sh(\d.*)?$/;
/** Builtins that evaluate an argument a second time. */
export const reevaluating = /^(let|declare|typeset|local|export|readonly|unset|read|printf|test|\[)$/;

/** Programs whose names are worth finding behind a pattern such as `/bin/r?`. */
const notable = [
  "rm",
  "mkfs",
  "mkfs.ext4",
  "dd",
  "shutdown",
  "reboot",
  "poweroff",
  "halt",
  "sh",
  "bash",
  "dash",
  "env",
  "sudo",
  "find",
  "chmod",
  "chown",
  "mv",
  "systemctl",
  "init",
  "kill",
];

/** A name may be a pattern: then it stands for every notable program that it matches. */
export function programsOf(word: string): readonly string[] {
  const name = (word.split("/").at(-1) ?? "").toLowerCase();
  if (!/[*?[]/.test(name) || name === "[" || name === "[[") return [name];
  try {
    const regex = globOf(name);
    return notable.filter((program) => regex.test(program));
  } catch {
    return [name];
  }
}

/** A word as one word of a script. */
export const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
