import { defineService } from "@rclaw/plugin-sdk/services/service";

// Each is read by the process that needs it: a gateway runs no commands, a command starts no gateway.
export default defineService("terminal", {
  runCommand: async (...call) => (await import("./run.ts")).runCommand(...call),
  showStart: async (started) => (await import("./screen.ts")).showStart(started),
  openPage: async (page) => (await import("./browser.ts")).openPage(page),
});
