import path from "node:path";
import type { Finding } from "@rclaw/plugin-sdk/services/plugin-store";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { readRegular } from "./digest.ts";
import { limits } from "./limits.ts";
import { packageJson } from "./selection.ts";
import { own, shown } from "./text.ts";

const scripts = ["preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"];
const pages = /\.(?:md|markdown|mdx|txt|rst)$|(?:^|\/)(?:readme|skill|install)$/i;
const native = /\.(?:node|so|dylib|dll|exe|sh|bat|cmd|ps1)$/i;
const maxPageBytes = 262_144;

/** Ways to say "run what this address answers". Every repeat is bounded: a page may be made to be slow. */
const runsFromNetwork = [
  /\b(?:curl|wget|fetch)\b[^\n|]{0,300}\|\s{0,8}(?:sudo\s{1,8}(?:-\S{1,20}\s{1,8}){0,4})?(?:env\s{1,8})?[^\s|]{0,40}\b(?:ba|z|da|k|fi)?sh\b/i,
  /\b(?:curl|wget)\b[^\n|]{0,300}\|\s{0,8}(?:sudo\s{1,8})?(?:python3?|node|perl|ruby|php)\b/i,
  /\b(?:ba|z|da)?sh\s{1,8}(?:-c\s{1,8})?["']?(?:\$\(|<\(|`)\s{0,8}(?:curl|wget)\b/i,
  /\beval\s{1,8}["']?(?:\$\(|`)\s{0,8}(?:curl|wget)\b/i,
  /\b(?:iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring)\b[^\n]{0,300}\b(?:iex|invoke-expression)\b/i,
  /\b(?:iex|invoke-expression)\b[^\n]{0,200}\b(?:iwr|irm|invoke-webrequest|downloadstring)\b/i,
  /\bbase64\s{1,8}(?:-d|--decode)\b[^\n|]{0,200}\|\s{0,8}(?:sudo\s{1,8})?(?:ba|z|da)?sh\b/i,
  /\bpowershell(?:\.exe)?\b[^\n]{0,200}\s-e(?:nc|ncodedcommand)?\s{1,8}[A-Za-z0-9+/=]{16}/i,
];

/** What a person should know of a package before agreeing, found without running anything. */
export async function findingsOf(folder: string, files: readonly string[]): Promise<Finding[]> {
  const findings = packageFindings(files.includes("package.json") ? await readPackage(folder) : undefined);
  const binaries = files.filter((file) => native.test(file));
  if (binaries.length > 0)
    findings.push({
      id: "native-code",
      level: "warning",
      message: `holds programs or native code (${binaries
        .slice(0, 3)
        .map((file) => shown(file, 80))
        .join(", ")}${binaries.length > 3 ? ", ..." : ""}); they cannot run in a cage and are not started`,
    });
  for (const file of files.filter((name) => pages.test(name))) {
    const found = await networkCommand(path.join(folder, file));
    if (found !== undefined)
      findings.push({
        id: "runs-from-network",
        level: "warning",
        file,
        message: `${shown(file, 80)} tells you to run what an address answers: ${shown(found, 160)}. No plugin needs that; do not do it`,
      });
  }
  return findings;
}

/** A broken package.json takes nothing from a plugin, whose manifest is another file. */
const readPackage = (folder: string): Promise<unknown> => packageJson(folder).catch(() => undefined);

async function networkCommand(file: string): Promise<string | undefined> {
  const content = await readRegular(file, limits.unpackedBytes);
  // A command may go over several lines, each ending in a backslash.
  const text = content
    .subarray(0, maxPageBytes)
    .toString("utf8")
    .replaceAll(/\\\r?\n\s*/g, " ");
  for (const pattern of runsFromNetwork) {
    const [found] = pattern.exec(text) ?? [];
    if (found !== undefined) return found;
  }
  return undefined;
}

function packageFindings(data: unknown): Finding[] {
  const findings: Finding[] = [];
  const there = scripts.filter((name) => typeof own(own(data, "scripts"), name) === "string");
  if (there.length > 0)
    findings.push({
      id: "install-scripts",
      level: "warning",
      file: "package.json",
      message: `its install scripts were not run (${there.join(", ")}); rclaw never runs any`,
    });
  const dependencies = ["dependencies", "optionalDependencies"].flatMap((key) => {
    const value = own(data, key);
    return isRecord(value) ? Object.keys(value) : [];
  });
  if (dependencies.length > 0)
    findings.push({
      id: "dependencies",
      level: "note",
      file: "package.json",
      message: `its dependencies were not installed (${dependencies
        .slice(0, 5)
        .map((name) => shown(name, 60))
        .join(", ")}${dependencies.length > 5 ? ", ..." : ""}); a plugin has to bundle them`,
    });
  return findings;
}
