import type { Manifest } from "@rclaw/plugin-sdk";
export async function transpile(
  _bytes: Uint8Array,
  _cache: string,
  _signal: AbortSignal,
): Promise<{ folder: string; script: string; imports: readonly string[]; world: string }> {
  return Promise.reject(new Error("later"));
}
export function importsAllowed(_imports: readonly string[], _manifest: Manifest): void {}
