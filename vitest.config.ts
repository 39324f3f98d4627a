import path from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "@rclaw/plugin-sdk/manifest.schema": path.resolve(import.meta.dirname, "plugin-sdk/manifest.schema.ts"),
      "@rclaw/plugin-sdk/testing": path.resolve(import.meta.dirname, "plugin-sdk/testing/index.ts"),
      "@rclaw/plugin-sdk": path.resolve(import.meta.dirname, "plugin-sdk/index.ts"),
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/leaks.ts"],
    testTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
  },
});
