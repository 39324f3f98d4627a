import { defineService } from "@rclaw/plugin-sdk/services/service";
import { createEgress } from "./egress.ts";

export default defineService("egress", { createEgress });
