import fs from "node:fs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { SessionStore } from "../../../plugins/services/sessions/store.ts";
import { never, openStore, silent, tempFolder, userSays } from "./support.ts";

const runs = Number(process.env["RCLAW_TEST_MODEL_RUNS"] ?? 150);

interface Model {
  readonly sessions: Map<string, { texts: string[]; fields: Record<string, unknown> }>;
  crashes: number;
}
interface Real {
  store: SessionStore;
  readonly dir: string;
  readonly crashDir: string;
}

const names = ["a", "b", "c"];
const name = fc.constantFrom(...names);
const size = fc.oneof(fc.nat(20), fc.constantFrom(70_000));
const field = fc.constantFrom("label", "thinkingLevel", "totalTokens", "__proto__");
const value = fc.oneof(fc.string({ maxLength: 8 }), fc.nat(), fc.constant(null), fc.boolean());

const commands = [
  fc.tuple(name, fc.array(size, { minLength: 1, maxLength: 4 })).map(([key, sizes]) => ({
    check: () => true,
    toString: () => `append(${key}, ${sizes.join(",")})`,
    async run(model: Model, { store }: Real) {
      const texts = sizes.map((length, n) => `${n}${"é".repeat(length)}`);
      await using session = await store.open(key, never);
      await session.append(...texts.map(userSays));
      const known = model.sessions.get(key) ?? { texts: [], fields: {} };
      known.texts.push(...texts);
      model.sessions.set(key, known);
    },
  })),
  fc.tuple(name, field, value).map(([key, what, to]) => ({
    check: () => true,
    toString: () => `patch(${key}, ${what}, ${String(to)})`,
    async run(model: Model, { store }: Real) {
      await store.patch(key, Object.fromEntries([[what, to]]));
      const known = model.sessions.get(key) ?? { texts: [], fields: {} };
      const kept = Object.entries(known.fields).filter(([other]) => other !== what);
      known.fields = Object.fromEntries(to === null ? kept : [...kept, [what, to]]);
      model.sessions.set(key, known);
    },
  })),
  name.map((key) => ({
    check: () => true,
    toString: () => `reset(${key})`,
    async run(model: Model, { store }: Real) {
      await store.reset(key, "reset", never);
      const { label, thinkingLevel } = model.sessions.get(key)?.fields ?? {};
      const kept = {
        ...(label !== undefined && { label }),
        ...(thinkingLevel !== undefined && { thinkingLevel }),
      };
      const fresh = {
        systemSent: false,
        abortedLastRun: false,
        inputTokens: 0,
        outputTokens: 0,
        totalTokens: 0,
        totalTokensFresh: true,
      };
      model.sessions.set(key, { texts: [], fields: { ...kept, ...fresh } });
    },
  })),
  name.map((key) => ({
    check: () => true,
    toString: () => `delete(${key})`,
    async run(model: Model, { store }: Real) {
      expect((await store.delete(key, {}, never)).deleted).toBe(model.sessions.delete(key));
    },
  })),
  fc.tuple(name, fc.integer({ min: 1, max: 10 })).map(([key, limit]) => ({
    check: () => true,
    toString: () => `tail(${key}, ${limit})`,
    async run(model: Model, { store }: Real) {
      expect(texts(await store.tail(key, limit))).toEqual(model.sessions.get(key)?.texts.slice(-limit) ?? []);
    },
  })),
  fc.constantFrom("flush", "close", "crash").map((what) => ({
    check: () => true,
    toString: () => what,
    async run(model: Model, real: Real) {
      if (what === "flush") return real.store.flush();
      if (what === "crash") {
        model.crashes++;
        // A copy of the folder as it is now is what a killed process leaves.
        fs.rmSync(real.crashDir, { recursive: true, force: true });
        copyLive(real.dir, real.crashDir);
        await real.store.close();
        fs.rmSync(real.dir, { recursive: true });
        fs.renameSync(real.crashDir, real.dir);
      } else {
        await real.store.close();
      }
      real.store = await openStore(real.dir, { commit: { rotateBytes: 20_000, idleMs: 5 } });
      return undefined;
    },
  })),
];

/** In the order that a crash could leave: the journal last, so that the copy has all it promises of the transcripts. */
function copyLive(from: string, to: string): void {
  fs.mkdirSync(to, { recursive: true });
  for (let attempt = 0; ; attempt++) {
    try {
      fs.cpSync(from, to, { recursive: true });
      return;
    } catch (error) {
      // A segment was dropped while it was copied: its content is in the transcripts, which are copied again.
      if (attempt > 20) throw error;
      fs.rmSync(to, { recursive: true, force: true });
    }
  }
}

function texts(entries: readonly { readonly [field: string]: unknown }[]): readonly string[] {
  return entries.map((entry) => (entry["message"] as { content: string }).content);
}

test(
  `REL-47 the store agrees with a model of it over ${runs} random histories with crashes`,
  { timeout: 60_000 + runs * 2_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 25 }), async (history) => {
        using temp = tempFolder({ inMemory: true });
        const dir = `${temp.dir}/store`;
        const real: Real = {
          store: await openStore(dir, { commit: { rotateBytes: 20_000, idleMs: 5 } }),
          dir,
          crashDir: `${temp.dir}/copy`,
        };
        const model: Model = { sessions: new Map(), crashes: 0 };
        await fc.asyncModelRun(() => ({ model, real }), history);
        await real.store.close();
        const last = await openStore(dir, { log: silent });
        expect(
          last
            .list()
            .map(({ key }) => key)
            .toSorted(),
        ).toEqual([...model.sessions.keys()].map((key) => `agent:main:${key}`).toSorted());
        for (const [key, known] of model.sessions) {
          expect(texts(await last.tail(key, 1_000))).toEqual(known.texts);
          const {
            sessionId: _id,
            updatedAt: _at,
            ...fields
          } = last.find(key) ?? { sessionId: "", updatedAt: 0 };
          expect(new Map(Object.entries(fields))).toEqual(new Map(Object.entries(known.fields)));
        }
        const { status, quarantined } = last.state;
        expect(status).toBe("ok");
        // A long line may have been half written: it is noted, and there again from the journal.
        expect(quarantined).toBeLessThanOrEqual(model.crashes);
        await last.close();
      }),
      { numRuns: runs },
    );
  },
);
