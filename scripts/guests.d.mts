export const guests: readonly string[];
export function recipeOf(folder: string): { readonly needs: string; readonly optional?: boolean };
export function folderOf(id: string): string;
export function digestOf(folder: string): { sources: string; artefact: string | undefined };
export function build(
  folder: string,
):
  | { wasm: Buffer; compiler: string; skipped?: undefined }
  | { wasm?: undefined; compiler?: undefined; skipped: string };
