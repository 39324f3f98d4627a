import { defineService } from "@rclaw/plugin-sdk/services/service";
import { runCommand } from "./run.ts";

export default defineService("terminal", { runCommand });
