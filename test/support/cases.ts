import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { ToolResult } from "@rclaw/plugin-sdk";
import { expect } from "vitest";

/** One line of a guest's cases.json. */
export interface Case {
  readonly tool: string;
  readonly params: object;
  readonly expect: {
    readonly content?: string;
    readonly contentMatches?: string;
    readonly isError?: boolean;
  };
}

export const casesOf = (folder: string): readonly Case[] => {
  const file = path.join(folder, "cases.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Case[]) : [];
};

/** Compares a result with what a case expects of it. */
export function fits(result: ToolResult, { content, contentMatches, isError = false }: Case["expect"]): void {
  if (content !== undefined) expect(result.content).toBe(content);
  if (contentMatches !== undefined) expect(result.content).toMatch(new RegExp(contentMatches));
  expect(result.isError ?? false).toBe(isError);
}
