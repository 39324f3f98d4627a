interface Compiler {
  main(
    args: readonly string[],
    options: {
      readFile(file: string): string | null;
      writeFile(file: string, contents: unknown): void;
      listFiles(): readonly string[];
    },
  ): Promise<{ readonly error: Error | null; readonly stderr: { toString(): string } }>;
}

/** AssemblyScript's compiler. Its own types would put that language's globals into every file here. */
export async function loadCompiler(): Promise<Compiler> {
  const name = "assemblyscript/asc";
  const { default: asc } = (await import(name)) as { default: Compiler };
  return asc;
}
