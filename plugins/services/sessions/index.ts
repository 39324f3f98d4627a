import { defineService } from "@rclaw/plugin-sdk/services/service";
import { sessionLifecycle } from "./lifecycle.ts";
import { acquireLock, readLock } from "./lock.ts";
import { sessionMethods } from "./methods.ts";
import { SessionStore } from "./store.ts";

export default defineService("sessions", {
  acquireLock,
  readLock,
  sessionLifecycle,
  async openStore(options) {
    const store = await SessionStore.open(options);
    return {
      get state() {
        return store.state;
      },
      runs: store.runs,
      list: () => store.list(),
      find: (key) => store.find(key),
      sessionFile: (key) => store.sessionFile(key),
      tail: (key, limit) => store.tail(key, limit),
      open: (key, signal) => store.open(key, signal),
      reset: (key, reason, signal) => store.reset(key, reason, signal),
      methods: (ports) => sessionMethods({ store, ...ports }),
      close: () => store.close(),
    };
  },
});
