import { defineService } from "@rclaw/plugin-sdk/services/service";
import { onGaveWay } from "./gave-way.ts";
import { createLanes } from "./lanes.ts";

export default defineService("lanes", { createLanes, onGaveWay });
