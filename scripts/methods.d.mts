export interface DescribedMethod {
  readonly name: string;
  readonly scope: string | null;
  readonly role: string;
  readonly owner: string;
  readonly since?: string;
  readonly params?: unknown;
}

/** The text of docs/methods.md. */
export function render(methods: readonly DescribedMethod[]): string;
