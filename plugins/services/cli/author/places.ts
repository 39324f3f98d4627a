import { existsSync } from "node:fs";
import path from "node:path";

/** The root of the repository, or `dist` of the product: both hold what authors need in the same places. */
const product = path.resolve(import.meta.dirname, "../../../..");

/** The SDK's sources, which go into what is built. */
export const sdkFolder = path.join(product, "plugin-sdk");
/** The contract of components, `*.wit`. */
export const witFolder = path.join(product, "wit/since-v0.1.0");
export const templatesFolder = path.join(product, "plugin-sdk/templates");

/** The SDK as an npm package, for an author's own types and tests; undefined when it did not come along. */
export function sdkPackage(): string | undefined {
  for (let at = product; ; at = path.dirname(at)) {
    const folder = path.join(at, "node_modules/@rclaw/plugin-sdk");
    if (existsSync(path.join(folder, "package.json"))) return folder;
    if (path.dirname(at) === at) return undefined;
  }
}
