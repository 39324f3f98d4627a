import path from "node:path";
import { defineConfig } from "vitest/config";

const sdk = path.resolve(import.meta.dirname, "plugin-sdk");

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@rclaw\/plugin-sdk$/, replacement: `${sdk}/index.ts` },
      { find: /^@rclaw\/plugin-sdk\/testing$/, replacement: `${sdk}/testing/index.ts` },
      { find: /^@rclaw\/plugin-sdk\/(.+)$/, replacement: `${sdk}/$1.ts` },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/leaks.ts"],
    testTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
