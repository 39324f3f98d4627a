import { defineService } from "@rclaw/plugin-sdk/services/service";
import { cage } from "./cage.ts";
import { createEgress } from "./egress.ts";
import { egressMethods } from "./methods.ts";
import { createSecretHandles } from "./secrets.ts";

export default defineService("egress", { cage, createEgress, createSecretHandles, egressMethods });
