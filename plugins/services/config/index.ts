import { defineService } from "@rclaw/plugin-sdk/services/service";
import { setIn } from "./edit.ts";
import { loadConfig } from "./load.ts";
import { configMethods } from "./methods.ts";
import { changeBetween, watchConfig } from "./watch.ts";
import { writeConfig } from "./write.ts";

export default defineService("config", {
  loadConfig,
  writeConfig,
  setIn,
  changeBetween,
  watchConfig,
  configMethods,
});
